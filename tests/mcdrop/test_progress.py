"""How far a prediction has come, and what is left behind when it is interrupted."""

import subprocess
import sys
from copy import deepcopy
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.modules import module as global_hooks
from torch.utils.data import DataLoader, TensorDataset

from mcdrop import MCDropout
from mcdrop.engine.generators import moved_generators
from mcdrop.errors import InputError
from mcdrop.progress import Progress, following
from tests.support.command_line import drawn_on_a_terminal
from tests.support.networks import classifier, features
from tests.support.predictives import assert_same_rows

X = features(200)


class Told:
    """What a function of (done, total) was told."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, int | None]] = []

    def __call__(self, done: int, total: int | None) -> None:
        self.seen.append((done, total))

    def check(self, last: int, total: int | None) -> None:
        done = [count for count, _ in self.seen]
        assert done == sorted(done)
        assert done[-1] == last
        assert {each for _, each in self.seen} == {total}


def network() -> MCDropout:
    return MCDropout(classifier(), task="classification", n_samples=40)


@pytest.mark.parametrize("exact", [True, False])
def test_a_function_is_told_what_is_done_of_what_there_is_to_do(exact: bool) -> None:
    told = Told()
    network().predict(X, exact=exact, progress=told)
    told.check(8000, 8000)
    assert len(told.seen) > 3


def test_rows_that_stop_early_are_done() -> None:
    told = Told()
    network().predict(X, n_samples="auto", tolerance=0.02, max_samples=200, progress=told)
    told.check(40_000, 40_000)


def test_of_a_loader_the_whole_is_known_and_of_an_iterator_it_is_not() -> None:
    told = Told()
    network().predict(DataLoader(TensorDataset(X), batch_size=64), take=0, progress=told)
    told.check(8000, 8000)
    told = Told()
    network().predict(iter(X.split(64)), progress=told)
    told.check(8000, None)


@pytest.mark.parametrize("progress", [None, False])
def test_nobody_need_be_told(progress: bool | None) -> None:
    assert_same_rows(network().predict(X, progress=progress), network().predict(X))


def test_what_is_no_function_is_refused() -> None:
    progress: Any = "bar"
    with pytest.raises(InputError, match=r"progress must be a function of \(done, total\), .* got a str"):
        network().predict(X, progress=progress)


def test_a_bar_is_drawn_on_standard_error() -> None:
    code = "from mcdrop.progress import following\nwith following(True, 40) as p:\n    p.advance(40)\n"
    assert b"100%" in drawn_on_a_terminal(sys.executable, "-c", code)


def test_the_package_of_the_bar_is_loaded_when_it_is_asked_for() -> None:
    code = (
        "import sys, mcdrop.progress as m\nassert not any(name.startswith('rich') for name in sys.modules)\n"
        "with m.following(True, None): assert 'rich.progress' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)


def test_a_count_can_be_set_back() -> None:
    told = Told()
    with following(told, 5) as progress:
        progress.advance(3)
        progress.done = 0
        progress.advance(5)
    assert told.seen == [(3, 5), (5, 5)]
    assert Progress().done == 0


# --- interruptions ---------------------------------------------------------------------------------


class Interrupted(nn.Module):
    """A network during whose pass of this number the user presses Ctrl-C."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = classifier()
        self.passes = [0, -1]  # a list, so that the private view counts with it

    def __deepcopy__(self, memo: dict[int, Any]) -> "Interrupted":
        copied = type(self).__new__(type(self))
        memo[id(self)] = copied
        nn.Module.__init__(copied)
        copied.inner = deepcopy(self.inner, memo)
        copied.passes = self.passes
        return copied

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        self.passes[0] += 1
        if self.passes[0] == self.passes[1]:
            raise KeyboardInterrupt
        out: Tensor = self.inner(x)
        return out


def state_of(model: nn.Module) -> Any:
    """Everything about a model and torch that a prediction could leave changed."""
    hooks = [len(held) for held in vars(global_hooks).values() if isinstance(held, dict)]
    own = [(m.training, len(m._forward_hooks), len(m._forward_pre_hooks)) for m in model.modules()]
    return hooks, own, [(t.data_ptr(), t._version) for t in model.state_dict().values()]


def test_an_interruption_in_any_pass_leaves_nothing_behind() -> None:
    expected = MCDropout(Interrupted().eval(), task="classification", n_samples=40).predict(X)
    at, later = 1, 2
    while True:
        model = Interrupted().eval()
        mc = MCDropout(model, task="classification", n_samples=40)
        before = state_of(model)
        model.passes[:] = [0, at]
        with moved_generators() as moved:
            try:
                mc.predict(X)
            except KeyboardInterrupt:
                pass
            else:
                break
        assert moved == []
        assert state_of(model) == before
        assert not torch.is_inference_mode_enabled()
        assert torch.is_grad_enabled()
        assert_same_rows(mc.predict(X), expected)
        at, later = later, at + later
    assert at > 20  # tracing, checking and sampling were all met


def test_an_interruption_by_the_function_that_is_told_leaves_nothing_behind() -> None:
    mc = network()
    expected = mc.predict(X)
    before = state_of(mc.model)

    def interrupts(done: int, total: int | None) -> None:
        if done == total:
            raise KeyboardInterrupt

    for options in ({}, {"exact": True}, {"n_samples": "auto", "tolerance": 0.05, "max_samples": 32}):
        with moved_generators() as moved, pytest.raises(KeyboardInterrupt):
            mc.predict(X, progress=interrupts, **options)
        assert moved == []
        assert state_of(mc.model) == before
    assert_same_rows(mc.predict(X), expected)
