"""Blocks that come again run without the Python of the model, with the same bits, or in the ordinary way."""

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from mcdrop.engine.block import Block
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.inputs import Call
from mcdrop.engine.lines import Lines
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.network import Network
from mcdrop.engine.strategies import STRATEGIES
from mcdrop.engine.transcript import Slot
from mcdrop.errors import UnsupportedModelError
from tests.support.models import case
from tests.support.networks import classifier, features
from tests.support.replaying import network_and_call, network_of_case

WRITTEN = (
    "nn.Dropout in place",
    "nn.Dropout of the input, in place",
    "nn.Dropout2d",
    "F.dropout written to some columns",
    "attention, causal",
    "causal sdpa without dropout, behind one",
    "LSTM, three layers, both directions",
    "DropConnect",
    "bernoulli_ as a statement",
    "randn_like",
    "gumbel_softmax, hard",
    "functional_call",
)


@pytest.fixture(autouse=True)
def _never_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a pass takes here decides nothing."""
    monkeypatch.setattr("mcdrop.engine.proof._SLOW_S", math.inf)


class Runs:
    """Blocks of one network, by lines and in the ordinary way."""

    def __init__(self, network: Network, call: Call, strategy: str = "vmap") -> None:
        self.network, self.call, self.strategy = network, call, strategy
        self.lines, self.fallback = Lines(often=2), Fallback((strategy,))

    def block(self, number: int, call: Call | None = None) -> Block:
        """One block of shared masks, or, of an odd number, of the rows' own."""
        call = call or _others(self.call, number)
        own = [BlockKey(number, row, 0) for row in range(call.rows)]
        return Block(self.network, call, [own if number % 2 else own[:1]], "philox-1", 16)

    def by_line(self, block: Block) -> list[Tensor]:
        with self.network.inference():
            return self.lines.run(self.strategy, self.fallback, block)

    def ordinary(self, block: Block) -> list[Tensor]:
        with self.network.inference():
            return STRATEGIES[self.strategy](self.network, block.call, block.draws(), block.samples)

    def agree(self, block: Block) -> bool:
        pairs = zip(self.by_line(block), self.ordinary(block), strict=True)
        return all(_same(*pair) for pair in pairs)

    def rehearsed(self) -> "Runs":
        """Itself, after all blocks have come so often that they are written down if they can be."""
        assert all(self.agree(self.block(number)) for number in range(4))
        return self


def _others(call: Call, seed: int) -> Call:
    """Rows of the same form; sequences as long as they were."""
    generator = torch.Generator().manual_seed(seed)
    leaves = (
        leaf
        if not isinstance(leaf, Tensor)
        else torch.randn(leaf.shape, generator=generator)
        if leaf.is_floating_point()
        else leaf.clone()
        for leaf in call.leaves
    )
    return replace(call, leaves=tuple(leaves))


def _same(one: Tensor, other: Tensor) -> bool:
    return one.stride() == other.stride() and torch.equal(one.nan_to_num(), other.nan_to_num())


def runs_of(model: nn.Module, strategy: str = "vmap", x: Tensor | None = None) -> Runs:
    return Runs(*network_and_call(model, features(4) if x is None else x), strategy)


@pytest.mark.parametrize("name", WRITTEN)
def test_a_line_gives_the_bits_of_the_ordinary_way(name: str) -> None:
    runs = Runs(*network_of_case(case(name))).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    assert all(runs.agree(runs.block(number)) for number in range(4, 8))


class Picking(nn.Module):
    """Picks columns in an order of its own, and a factor by what is in a row."""

    order: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.body = classifier()
        self.register_buffer("order", torch.tensor([2, 0, 1]))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        h = self.body(x)
        out: Tensor = h[:, self.order] * self.order[h.argmax(-1)].unsqueeze(-1)
        return out


@pytest.mark.parametrize("strategy", ["vmap", "fold"])
def test_entries_that_are_picked_by_number_are_those_of_the_block_at_hand(strategy: str) -> None:
    runs = runs_of(Picking().eval(), strategy).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    assert all(runs.agree(runs.block(number)) for number in range(4, 12))


@pytest.mark.parametrize("strategy", ["fold", "loop"])
def test_so_do_the_lines_of_other_strategies(strategy: str) -> None:
    runs = Runs(*network_of_case(case("nn.Dropout2d")), strategy).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    assert runs.agree(runs.block(4))


def test_a_line_runs_none_of_the_python_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    runs = runs_of(classifier()).rehearsed()
    block = runs.block(6)
    wanted = runs.ordinary(block)
    monkeypatch.delattr(nn.Linear, "forward")
    assert _same(runs.by_line(block)[0], wanted[0])


# --- models that are not written down ---------------------------------------------------------------


class Hostile(nn.Module):
    """(N, 6) -> (N, 3), with something in between that a line would get wrong."""

    scale: Tensor
    table: Tensor

    def __init__(self, between: "Callable[[Hostile, Tensor, Tensor], Tensor]", **held: Any) -> None:
        super().__init__()
        self.body = classifier(width=6)
        self.register_buffer("scale", torch.tensor(2.0))
        self.register_buffer("table", torch.arange(3.0) + 1)
        self.between = between
        self.held = held

    def forward(self, x: Tensor) -> Tensor:
        return self.between(self, self.body(x), x)


SEEN = {"passes": 0}


def in_spite_of_all(_model: Hostile, h: Tensor, x: Tensor) -> Tensor:
    try:
        return h * x.sum().item()
    except Exception:  # noqa: BLE001
        return h


def counted(held: dict[str, Any], h: Tensor) -> Tensor:
    held["passes"] = held.get("passes", 0) + 1
    return h


def counted_in(held: dict[str, Any], _model: Hostile, h: Tensor, _x: Tensor) -> Tensor:
    return counted(held, h)


def turned(model: Hostile, h: Tensor) -> Tensor:
    model.held["turn"] = not model.held["turn"]
    return h * 2 if model.held["turn"] else h


def in_a_thread(h: Tensor, x: Tensor) -> Tensor:
    with ThreadPoolExecutor(1) as pool:
        return h + pool.submit(lambda: x.sum(1, keepdim=True).clone()).result()


def remembered(model: Hostile, h: Tensor) -> Tensor:
    model.held["last"] = h
    return h


HOSTILE: dict[str, Callable[[], nn.Module]] = {
    "columns picked by a condition": lambda: Hostile(lambda model, h, _x: h[:, model.table > 1]),
    "a branch by the data": lambda: Hostile(lambda _m, h, x: h * 2 if (x > 1).any() else h),
    "a check of the data": lambda: Hostile(lambda _m, h, x: h if x.max() < 1e9 else h[:0]),
    "a branch by a buffer": lambda: Hostile(lambda m, h, _x: h * 2 if m.scale > 1 else h),
    "a number out of a buffer": lambda: Hostile(lambda m, h, _x: h * m.scale.item()),
    "a float of a buffer": lambda: Hostile(lambda m, h, _x: h * float(m.scale)),
    "a list of a buffer": lambda: Hostile(lambda m, h, _x: h * m.table.tolist()[1]),
    "a buffer in NumPy": lambda: Hostile(lambda m, h, _x: h * float(m.table.numpy()[1])),
    "a buffer in NumPy, by data": lambda: Hostile(lambda m, h, _x: h * float(np.asarray(m.table.data)[1])),
    "the storage of a buffer": lambda: Hostile(lambda m, h, _x: h * m.table.untyped_storage()[3]),
    "the text of a buffer": lambda: Hostile(lambda m, h, _x: h * len(repr(m.table))),
    "a version": lambda: Hostile(lambda m, h, _x: h * m.table._version),
    "a length out of a buffer": lambda: Hostile(lambda m, h, _x: h[:, : int(m.scale)]),
    "a shape that a buffer decides": lambda: Hostile(
        lambda m, h, x: h * x.tensor_split(m.table[:1].long(), 1)[0].shape[1]
    ),
    "a shape by the data": lambda: Hostile(lambda _m, h, x: h + x[x > 0].sum()),
    "the data in NumPy": lambda: Hostile(lambda _m, h, x: h + torch.from_numpy(x.numpy().copy())[:, :1]),
    "a look that is caught": lambda: Hostile(in_spite_of_all),
    "a calculation in a thread": lambda: Hostile(lambda _m, h, x: in_a_thread(h, x)),
    "a counter": lambda: Hostile(lambda m, h, _x: counted(m.held, h)),
    "a counter in a closure": lambda: Hostile(partial(counted_in, {})),
    "a counter among the globals": lambda: Hostile(lambda _m, h, _x: counted(SEEN, h)),
    "an iterator": lambda: Hostile(lambda m, h, _x: h + 0 * next(m.held["it"]), it=itertools.count()),
    "turns": lambda: Hostile(lambda m, h, _x: turned(m, h), turn=False),
    "what the last pass left": lambda: Hostile(lambda m, h, _x: remembered(m, h)),
    "a write to a buffer": lambda: Hostile(lambda m, h, _x: h * m.table.add_(0)),
    "padding": lambda: case("encoder, padding").make()[0],
    "gradients": lambda: case("gradients in forward").make()[0],
    "LayerDrop": lambda: case("LayerDrop").make()[0],
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_whose_calls_may_change_is_run_in_the_ordinary_way(name: str) -> None:
    known = {"padding": "encoder, padding", "gradients": "gradients in forward", "LayerDrop": "LayerDrop"}
    inputs = case(known[name]).make()[1] if name in known else (features(4),)
    strategy = {"gradients": "fold", "LayerDrop": "loop"}.get(name, "vmap")
    runs = Runs(*network_and_call(HOSTILE[name]().eval(), *inputs), strategy)
    for number in range(4):
        runs.by_line(runs.block(number))
    assert not len(runs.lines)
    assert len(runs.lines.refused) == 2


def test_a_block_that_takes_long_is_not_written_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcdrop.engine.proof._SLOW_S", 0)
    runs = runs_of(classifier())
    runs.rehearsed()
    assert set(runs.lines.refused.values()) == {"NoTranscriptError: most of the time is not Python's"}


def test_a_block_that_was_held_up_once_is(monkeypatch: pytest.MonkeyPatch) -> None:
    late = itertools.chain([0.0, 1.0], itertools.repeat(1.0))
    monkeypatch.setattr("mcdrop.engine.proof._SLOW_S", 0.5)
    monkeypatch.setattr("time.thread_time", lambda: next(late))
    runs = runs_of(classifier())
    with runs.lines.at_once():
        assert runs.agree(runs.block(0))
    assert len(runs.lines) == 1, runs.lines.refused


def test_a_line_that_gives_other_bits_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    def written_differently(*args: Any) -> list[Tensor]:
        watched = torch._C._len_torch_dispatch_stack()
        return [out + 1 if watched else out for out in honest(*args)]

    honest = STRATEGIES["vmap"]
    monkeypatch.setitem(STRATEGIES, "vmap", written_differently)
    runs = runs_of(classifier()).rehearsed()
    assert not len(runs.lines)
    assert {text[-37:] for text in runs.lines.refused.values()} == {
        "gives other bits than the ordinary way"[-37:]
    }


def test_neither_is_one_that_calls_another_function_than_the_operator(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("mcdrop.engine.straight.binding", lambda *_: torch.add)
    runs = runs_of(classifier()).rehearsed()
    assert not len(runs.lines)
    assert len(runs.lines.refused) == 2


def test_layers_whose_bits_are_others_when_they_are_whole_stay_in_parts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        "mcdrop.engine.proof.with_linear_layers", lambda short: replace(short, outputs=(Slot(0),))
    )
    runs = runs_of(classifier()).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused


# --- what happens to a model afterwards -------------------------------------------------------------


def test_lines_hold_the_tensors_of_the_model_itself() -> None:
    model = classifier()
    runs = runs_of(model).rehearsed()
    held = {tensor.data_ptr() for line, _ in runs.lines._known.values() for tensor in line.constants}
    assert held == {parameter.data_ptr() for parameter in model.parameters()}


def other_data(model: nn.Module, factor: float, *, turned: bool = False) -> None:
    for parameter in model.parameters():
        data = parameter.data * factor
        parameter.data = data.T.contiguous().T if turned and data.dim() == 2 else data


CHANGES: dict[str, Callable[[nn.Module], Any]] = {
    "an optimiser's step": lambda model: [p.data.add_(0.1) for p in model.parameters()],
    "load_state_dict": lambda m: m.load_state_dict({name: 2 * t for name, t in m.state_dict().items()}),
    "NumPy": lambda m: [np.multiply(p.detach().numpy(), 2, out=p.detach().numpy()) for p in m.parameters()],
    "other data": lambda model: other_data(model, 1.5),
    "another order in memory": lambda model: other_data(model, 2.0, turned=True),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_is_written_to_the_model_is_seen(name: str) -> None:
    model = classifier()
    runs = runs_of(model).rehearsed()
    block = runs.block(6)
    before = runs.by_line(block)
    CHANGES[name](model)
    assert runs.agree(block)
    assert not torch.equal(before[0], runs.by_line(block)[0])


def test_a_model_of_another_dtype_is_run_in_the_ordinary_way() -> None:
    model = classifier()
    runs = runs_of(model).rehearsed()
    model.double()
    with pytest.raises(RuntimeError, match="dtype"):
        runs.ordinary(runs.block(6))
    with pytest.raises(RuntimeError, match="dtype"):
        runs.by_line(runs.block(6))
    model.float()
    assert runs.agree(runs.block(6))


def test_a_buffer_of_another_shape_is_seen() -> None:
    model = Hostile(lambda m, h, _x: h * m.table * len(m.table)).eval()
    runs = runs_of(model).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    model.table.data = torch.tensor([2.0])
    assert runs.agree(runs.block(6))


@contextmanager
def default_dtype() -> Any:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@contextmanager
def hooked() -> Any:
    def double(module: nn.Module, _args: Any, output: Any) -> Any:
        return output * 2 if isinstance(module, nn.Linear) else None

    handle = nn.modules.module.register_module_forward_hook(double)
    yield
    handle.remove()


SURROUNDINGS: dict[str, Callable[[], AbstractContextManager[Any]]] = {
    "default dtype": default_dtype,
    "a hook on all modules": hooked,
}


@pytest.mark.parametrize("name", SURROUNDINGS)
def test_what_is_around_a_pass_is_heeded(name: str) -> None:
    model = nn.Sequential(classifier(), Hostile(lambda _m, h, _x: (h * torch.ones(3)).float()).eval())
    model[1].body = nn.Identity()
    runs = runs_of(model).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    block = runs.block(6)
    usual = runs.by_line(block)
    with SURROUNDINGS[name]():
        assert runs.agree(block)
        assert name == "default dtype" or not torch.equal(usual[0], runs.by_line(block)[0])


def test_with_a_torch_that_cannot_be_asked_blocks_are_run_in_the_ordinary_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delattr(torch._C, "_len_torch_function_stack")
    runs = runs_of(classifier()).rehearsed()
    assert not len(runs.lines)
    assert not runs.lines.refused


def test_under_autocast_a_block_is_run_in_the_ordinary_way() -> None:
    runs = runs_of(classifier()).rehearsed()
    with (
        torch.autocast("cpu", dtype=torch.bfloat16),
        pytest.raises(UnsupportedModelError, match="was not made"),
    ):
        runs.by_line(runs.block(6))  # its sites were traced in float32


def test_rows_of_another_form_have_a_line_of_their_own() -> None:
    between = Hostile(lambda _m, h, x: h * 2 if x.is_contiguous() else h).eval()
    runs = runs_of(between).rehearsed()
    turned_rows = replace(runs.call, leaves=(features(6, 4).t(),))
    assert all(runs.agree(runs.block(0, turned_rows)) for _ in range(4))
    assert len(runs.lines) == 3


def test_two_objects_of_one_tensor_of_which_one_takes_another_shape_stay_two() -> None:
    def turned(_model: Hostile, h: Tensor, _x: Tensor) -> Tensor:
        other = h.detach()
        other.unsqueeze_(1)
        return h + other.squeeze(1)

    runs = runs_of(Hostile(turned).eval()).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused


def test_a_zero_of_another_sign_is_another_argument() -> None:
    class Signed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.4)

        def forward(self, x: Tensor, sign: float) -> Tensor:
            out: Tensor = self.drop(x) * math.copysign(2, sign)
            return out

    runs = Runs(*network_and_call(Signed().eval(), features(4), 0.0)).rehearsed()
    block = runs.block(0)
    (positive,) = runs.by_line(block)
    other = replace(block, call=replace(block.call, leaves=(block.call.leaves[0], -0.0)))
    assert _same(runs.by_line(other)[0], -positive)


def test_one_tensor_given_twice_is_not_taken_for_two() -> None:
    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.drop = nn.Dropout(0.4)

        def forward(self, x: Tensor, y: Tensor) -> Tensor:
            out: Tensor = self.drop(x) * (2 if x is y else 1)
            return out

    runs = Runs(*network_and_call(Pair().eval(), features(4), features(4, seed=1))).rehearsed()
    x = features(4, seed=2)
    assert runs.agree(runs.block(0, replace(runs.call, leaves=(x, x))))


def test_a_mistake_in_the_rows_is_told_as_ever() -> None:
    model = nn.Sequential(nn.Embedding(10, 6), nn.Dropout(0.3), nn.Flatten(), nn.Linear(12, 2)).eval()
    runs = runs_of(model, x=torch.tensor([[1, 2], [3, 4]])).rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    with pytest.raises(IndexError, match="out of range"):
        runs.by_line(runs.block(0, replace(runs.call, leaves=(torch.tensor([[1, 2], [3, 40]]),))))


def test_so_is_a_mistake_that_forward_looks_for_without_looking() -> None:
    def checked(_model: Hostile, h: Tensor, x: Tensor) -> Tensor:
        torch._assert_async((x < 100).all(), "too large")
        return h

    runs = runs_of(Hostile(checked).eval(), "fold").rehearsed()
    assert len(runs.lines) == 2, runs.lines.refused
    with pytest.raises(RuntimeError, match="too large"):
        runs.by_line(runs.block(0, replace(runs.call, leaves=(features(4) + 1000,))))


def test_threads_share_lines_and_get_what_each_gets_alone() -> None:
    runs = runs_of(classifier())
    wanted = [runs.ordinary(runs.block(number)) for number in range(24)]
    with ThreadPoolExecutor(4) as pool:
        got = list(pool.map(lambda number: runs.by_line(runs.block(number)), list(range(24)) * 4))
    assert len(runs.lines)  # both, if there was time for both
    assert all(_same(a[0], wanted[i % 24][0]) for i, a in enumerate(got))


def test_only_so_many_forms_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcdrop.engine.lines._MOST", 2)
    runs = runs_of(classifier())
    counts = []
    for rows in (1, 2, 3, 1, 1):
        block = runs.block(0, replace(runs.call, leaves=(features(rows),), rows=rows))
        assert all(runs.agree(block) for _ in range(2))
        counts.append(len(runs.lines))
    assert counts == [1, 2, 1, 2, 2]
