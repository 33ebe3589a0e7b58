import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.engine.network import Network
from mcdrop.engine.promotion import Births, Promotions, with_promotions
from tests.support.models import case
from tests.support.replaying import (
    by_row,
    consistent,
    independent,
    network_and_call,
    network_of_case,
    samples,
)
from tests.support.stochastic_modules import Drop, applied
from tests.support.tolerances import EXACT, FLOAT32

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))

PROMOTED = (
    "nn.Dropout in place",
    "nn.Dropout of the input, in place",
    "F.dropout in place, used twice",
    "F.dropout written to some columns",
    "F.dropout added in place",
    "bernoulli_",
    "bernoulli_ as a statement",
    "bernoulli_ of integers",
    "bernoulli into a buffer",
    "exponential_",
    "gumbel_softmax",
    "DropPath",
    "StochasticDepth by row",
)


@pytest.mark.parametrize("name", PROMOTED)
def test_what_must_be_promoted_is_found_once_and_remembered(name: str) -> None:
    network, call = network_of_case(case(name))
    assert network.promotions.births == frozenset()
    keys = independent(call)
    first = samples("vmap", network, call, keys)
    births = network.promotions.births
    assert births
    again = samples("vmap", network, call, keys)
    assert network.promotions.births is births  # not searched for again
    torch.testing.assert_close(again, first, **EXACT)
    torch.testing.assert_close(first, by_row(network, call, keys), **FLOAT32)


def test_promotions_that_no_longer_fit_are_searched_anew() -> None:
    network, call = network_of_case(case("DropPath"))
    wanted = samples("vmap", network, call, consistent(call))
    found = network.promotions.births
    network.promotions.births = frozenset({10_000})
    torch.testing.assert_close(samples("vmap", network, call, consistent(call)), wanted, **EXACT)
    assert network.promotions.births == found


def test_many_writes_are_found_one_after_the_other() -> None:
    def many(x: Tensor, train: bool) -> Tensor:
        for _ in range(5):
            noise = torch.empty(x.shape)
            noise.bernoulli_(0.7)
            x = x * noise if train else x
        return x

    network, call = network_and_call(applied(many).eval(), X)
    got = samples("vmap", network, call, consistent(call))
    assert len(network.promotions.births) == 5
    torch.testing.assert_close(got, samples("loop", network, call, consistent(call)), **FLOAT32)


def views(x: Tensor, train: bool) -> Tensor:
    """Writes to a view of a view of what was made before."""
    base = torch.zeros(x.shape[0], 2, x.shape[1])
    base.transpose(1, 2)[:, :3].select(2, 1).copy_(F.dropout(x, 0.4, train)[:, :3])
    return x + base.sum(1)


def parts(x: Tensor, train: bool) -> Tensor:
    """Writes to one of several outputs of one call."""
    left, right = torch.stack([x, x]).unbind(0)
    left.mul_(F.dropout(torch.ones_like(left), 0.4, train))
    return left + right


def negative_zeros(x: Tensor, train: bool) -> Tensor:
    """A promoted tensor keeps its bits, the sign of a zero among them."""
    zeros = torch.full_like(x, -0.0)
    zeros[:, :1] += F.dropout(x, 0.4, train)[:, :1]
    return torch.copysign(x, zeros)


@pytest.mark.parametrize("function", [views, parts, negative_zeros])
def test_writes_to_views_are_those_of_the_loop(function: Drop) -> None:
    network, call = network_and_call(applied(function).eval(), X)
    got = samples("vmap", network, call, independent(call))
    torch.testing.assert_close(got, by_row(network, call, independent(call)), **FLOAT32)


class WritesItsBuffer(nn.Module):
    """Writes a draw to a tensor that was not born in the pass."""

    last: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("last", torch.zeros(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        dropped = F.dropout(x, 0.4, self.training)
        self.last[: len(x)].copy_(dropped[:4])
        return dropped


def failing_network() -> tuple[Network, object]:
    return network_and_call(WritesItsBuffer().eval(), X)


@pytest.mark.parametrize(
    "model",
    [applied(lambda x, train: x * F.dropout(x, 0.4, train).sum().item()), WritesItsBuffer()],
    ids=["item", "buffer"],
)
def test_a_failure_that_no_promotion_repairs_is_raised_as_it_is(model: nn.Module) -> None:
    network, call = network_and_call(nn.Sequential(nn.Dropout(0.2), model).eval(), X)
    with pytest.raises(RuntimeError, match="vmap"):
        samples("vmap", network, call, consistent(call))
    assert network.promotions.births == frozenset()


def test_without_a_failure_nothing_is_searched() -> None:
    asked: list[bool] = []

    def attempt(births: frozenset[int], *, search: bool) -> str:
        asked.append(search)
        return f"ran with {sorted(births)}"

    assert with_promotions(attempt, Promotions(frozenset({3}))) == "ran with [3]"
    assert asked == [False]


def test_a_tensor_is_promoted_where_it_is() -> None:
    elsewhere = torch.empty(3, device="meta")

    def promoted(one: Tensor) -> Tensor:
        out: Tensor = Births(frozenset({1}), one, search=False, model=nn.Identity()).born(1, elsewhere)
        return out

    out = torch.func.vmap(promoted)(torch.ones(5, dtype=torch.bool))
    assert (out.shape, out.device) == ((5, 3), elsewhere.device)
