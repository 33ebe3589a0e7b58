"""The contract of every strategy, and what each is for."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from mcdrop.engine.functorch import has_sample_axis
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.strategies import STRATEGIES
from mcdrop.errors import UnsupportedModelError
from tests.support.models import case
from tests.support.replaying import (
    by_row,
    consistent,
    independent,
    network_and_call,
    network_of_case,
    samples,
)
from tests.support.stochastic_modules import applied
from tests.support.tolerances import EXACT, FLOAT32

NAMES = ("nn.Dropout", "encoder, padding", "LSTM", "DropConnect", "bernoulli_ as a statement", "DropPath")

PAIRS = [(s, n) for s in STRATEGIES for n in NAMES if (s, n) != ("fold", "DropConnect")]
every_strategy = pytest.mark.parametrize("strategy", STRATEGIES)
every_pair = pytest.mark.parametrize(("strategy", "name"), PAIRS)


@every_pair
def test_the_first_samples_do_not_depend_on_how_many_are_asked_for(strategy: str, name: str) -> None:
    network, call = network_of_case(case(name))
    (many,) = samples(strategy, network, call, consistent(call), 16)
    (few,) = samples(strategy, network, call, consistent(call), 5)
    torch.testing.assert_close(many[:5], few, **FLOAT32)


@every_pair
@settings(max_examples=10)
@given(order=st.permutations(range(4)), seed=st.integers(0, 2**63 - 1))
def test_rows_keep_their_samples_in_any_order_and_company(
    strategy: str, name: str, order: list[int], seed: int
) -> None:
    network, call = network_of_case(case(name))
    keys = independent(call, seed)
    (full,) = samples(strategy, network, call, keys)
    chosen = order[: 1 + seed % 4]
    moved = call.take(torch.tensor(chosen))
    (got,) = samples(strategy, network, moved, [keys[row] for row in chosen])
    torch.testing.assert_close(got, full[:, chosen], **FLOAT32)


@every_pair
def test_blocks_that_run_together_are_those_that_run_apart(strategy: str, name: str) -> None:
    network, call = network_of_case(case(name))
    keys = [[BlockKey(3, 0, block)] for block in (0, 7)]
    with torch.inference_mode():
        run = STRATEGIES[strategy]
        (both,) = run(network, call, BlockDraws(network.sites, keys, "philox-1", network.cache), 32)
        apart = [
            run(network, call, BlockDraws(network.sites, [k], "philox-1", network.cache), 16)[0] for k in keys
        ]
    torch.testing.assert_close(both, torch.cat(apart), **FLOAT32)
    assert not torch.equal(apart[0], apart[1])


@every_pair
def test_samples_come_again_with_their_seed_and_differ_with_another(strategy: str, name: str) -> None:
    network, call = network_of_case(case(name))
    first, again, other = (samples(strategy, network, call, consistent(call, seed)) for seed in (1, 1, 2))
    torch.testing.assert_close(first, again, **EXACT)
    assert not torch.equal(first[0], other[0])


@pytest.mark.parametrize("strategy", ["vmap", "loop"])
def test_a_mask_without_rows_is_shared_by_all_rows_whatever_their_ids(strategy: str) -> None:
    def weight_dropped(x: Tensor, train: bool) -> Tensor:
        return x * F.dropout(torch.ones(x.shape[1]), 0.5, train)

    x = torch.ones(3, 4)
    network, call = network_and_call(applied(weight_dropped).eval(), x)
    (one,) = samples(strategy, network, call, [BlockKey(0, row, 0) for row in (5, 9, 2)])
    (other,) = samples(strategy, network, call, [BlockKey(0, row, 0) for row in (1, 0, 7)])
    torch.testing.assert_close(one, other, **EXACT)
    torch.testing.assert_close(one[:, 0], one[:, 2], **FLOAT32)


@every_strategy
def test_masks_are_shared_by_the_rows_or_are_their_own(strategy: str) -> None:
    network, call = network_and_call(nn.Sequential(nn.Identity(), nn.Dropout(0.5)).eval(), torch.ones(3, 8))
    (shared,) = samples(strategy, network, call, consistent(call))
    (own,) = samples(strategy, network, call, independent(call))
    assert (shared == shared[:, :1]).all()
    assert not torch.equal(own[:, 0], own[:, 1])
    torch.testing.assert_close(own[:, 0], shared[:, 0], **EXACT)


class Structured(nn.Module):
    """Returns a mapping with a tuple, a number, and a tensor that is not random."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> dict[str, Any]:
        return {"pair": (self.drop(x), "name"), "plain": x.sum(1), "count": 3, "time first": x[None]}


@every_strategy
def test_every_tensor_of_a_structure_is_sampled_with_its_rows_in_front(strategy: str) -> None:
    network, call = network_and_call(Structured().eval(), torch.ones(3, 8))
    dropped, plain, turned = samples(strategy, network, call, consistent(call))
    assert (dropped.shape, plain.shape, turned.shape) == ((16, 3, 8), (16, 3), (16, 3, 1, 8))
    rebuilt = network.outputs.rebuild([dropped, plain, turned])
    assert rebuilt["pair"] == (dropped, "name")
    assert rebuilt["count"] == 3


def test_vmap_runs_what_is_before_the_first_draw_once_for_each_row() -> None:
    batched: list[bool] = []

    def looks(x: Tensor, train: bool) -> Tensor:
        batched.append(has_sample_axis(x))
        dropped = F.dropout(x, 0.5, train)
        batched.append(has_sample_axis(dropped))
        return dropped

    network, call = network_and_call(applied(looks).eval(), torch.ones(3, 4))
    batched.clear()
    samples("vmap", network, call, consistent(call))
    assert batched == [False, True]


def test_layer_drop_is_replayed_by_the_loop_and_refused_by_the_others() -> None:
    network, call = network_of_case(case("LayerDrop"))
    keys = independent(call)
    first, again = samples("loop", network, call, keys), samples("loop", network, call, keys)
    torch.testing.assert_close(first, again, **EXACT)
    torch.testing.assert_close(first, by_row(network, call, keys), **FLOAT32)
    for strategy in ("vmap", "fold"):
        with pytest.raises(UnsupportedModelError, match="differ from pass to pass"):
            samples(strategy, network, call, keys)


def test_fold_refuses_a_mask_that_rows_share() -> None:
    network, call = network_of_case(case("DropConnect"))
    with pytest.raises(UnsupportedModelError, match="the rows share the draw of"):
        samples("fold", network, call, consistent(call))


def test_fold_refuses_a_mask_whose_size_is_not_a_multiple_of_the_rows() -> None:
    def first_row_kept(x: Tensor, train: bool) -> Tensor:
        if len(x) < 9:
            return F.dropout(x, 0.5, train)
        return torch.cat([x[:1], F.dropout(x[1:], 0.5, train)])

    network, call = network_and_call(applied(first_row_kept).eval(), torch.ones(2, 4))
    with pytest.raises(UnsupportedModelError, match="which no row axis explains"):
        samples("fold", network, call, consistent(call))


@every_strategy
def test_a_call_that_the_trace_did_not_see_is_refused_and_never_drawn_somehow(strategy: str) -> None:
    def by_data(x: Tensor, train: bool) -> Tensor:
        return F.dropout(x, 0.3, train) if bool(x.sum() > 0) else F.alpha_dropout(x, 0.3, train)

    model = nn.Sequential(applied(by_data), nn.Dropout(0.3)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    network, call = network_and_call(model, torch.ones(2, 4))
    samples(strategy, network, call, consistent(call))
    _, other = network_and_call(nn.Dropout(0.5).eval(), -torch.ones(2, 4))
    with pytest.raises(UnsupportedModelError, match=r"0#0 makes a random call \(alpha_dropout"):
        samples(strategy, network, other, consistent(other))
