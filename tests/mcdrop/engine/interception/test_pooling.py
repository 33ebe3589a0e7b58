"""Max pooling by the kernel for maps whose channels lie side by side: sooner, with the same bits."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.sites import Law

GENERATOR = torch.Generator().manual_seed(0)
MAPS = torch.randn(4, 16, 9, 12, generator=GENERATOR)


class NoDraws:
    def draw(self, kind: str, _p: float | None, _law: Law, _shape: tuple[int, ...]) -> Tensor:
        raise AssertionError(kind)


class Orders(TorchDispatchMode):
    """Whether the channels of what is pooled lie side by side."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[bool] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "max_pool" in str(func):
            self.seen.append(args[0].stride(1) == 1)
        return func(*args, **(kwargs or {}))


def handled(pool: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with Interception(NoDraws(), HANDLERS, lambda: ""):
        return pool(*args, **kwargs)


def kernel(pool: Callable[..., Any], x: Tensor, *args: Any, **kwargs: Any) -> list[bool]:
    orders = Orders()
    with torch.inference_mode(), orders:
        handled(pool, x, *args, **kwargs)
    return orders.seen


def bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.int32)


def awkward(*shape: int) -> Tensor:
    """Equal numbers, zeros of both signs, infinities, and several of what is no number."""
    values = torch.tensor([0.0, -0.0, 1.0, 1.0, -2.0, 3.0, math.inf, -math.inf, math.nan, -math.nan])
    return values[torch.randint(len(values), shape, generator=GENERATOR)]


WAYS: dict[str, dict[str, Any]] = {
    "halves": {"kernel_size": 2},
    "overlapping": {"kernel_size": 3, "stride": 2, "padding": 1},
    "two sizes": {"kernel_size": (3, 2), "stride": (1, 2)},
    "dilated": {"kernel_size": 2, "stride": 1, "dilation": 2},
    "the rest too": {"kernel_size": 4, "ceil_mode": True},
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("maps", ["usual", "awkward"])
def test_the_bits_and_the_order_in_memory_are_those_of_the_native_call(way: str, maps: str) -> None:
    x = MAPS if maps == "usual" else awkward(*MAPS.shape)
    got, wanted = handled(F.max_pool2d, x, **WAYS[way]), F.max_pool2d(x, **WAYS[way])
    assert torch.equal(bits(got), bits(wanted))
    assert got.stride() == wanted.stride()


def test_a_single_pixel_lies_in_memory_as_it_does_natively() -> None:
    x = torch.randn(4, 32, 3, 16, generator=GENERATOR)
    got, wanted = handled(F.max_pool2d, x, (3, 16)), F.max_pool2d(x, (3, 16))
    assert torch.equal(got, wanted)
    assert got.stride() == wanted.stride()


@pytest.mark.parametrize("shape", [(4, 16, 8, 8), (16, 8, 8)])
@pytest.mark.parametrize("axis", [0, 1, -1])
def test_under_vmap_one_call_does_all_samples(shape: tuple[int, ...], axis: int) -> None:
    x = torch.randn(6, *shape, generator=GENERATOR)
    wanted = torch.stack([F.max_pool2d(one, 2) for one in x])
    orders = Orders()
    with torch.inference_mode(), orders:
        got = torch.func.vmap(lambda one: handled(F.max_pool2d, one, 2), in_dims=axis)(x.movedim(0, axis))
    assert torch.equal(got, wanted)
    assert orders.seen == [True]


POOLS: dict[str, Callable[..., Any]] = {
    "F.max_pool2d": F.max_pool2d,
    "nn.MaxPool2d": lambda x, size: torch.nn.MaxPool2d(size)(x),
    "torch.max_pool2d": torch.max_pool2d,
    "the operator": lambda x, size: torch.ops.aten.max_pool2d(x, [size, size]),
    "its overload": lambda x, size: torch.ops.aten.max_pool2d.default(x, [size, size]),
}


@pytest.mark.parametrize("name", POOLS)
def test_by_whatever_name_it_is_called(name: str) -> None:
    assert kernel(POOLS[name], MAPS, 2) == [True]
    assert torch.equal(handled(POOLS[name], MAPS, 2), F.max_pool2d(MAPS, 2))


LEFT: dict[str, Tensor] = {
    "few numbers": MAPS[:1],
    "few channels": MAPS.reshape(16, 4, 9, 12),
    "another dtype": MAPS.double(),
    "a map without an axis of rows": MAPS.reshape(64, 9, 12),
    "another order in memory": MAPS.transpose(2, 3),
}


@pytest.mark.parametrize("name", LEFT)
def test_all_else_is_left_to_the_native_call(name: str) -> None:
    assert kernel(F.max_pool2d, LEFT[name], 2) == [False]
    got, wanted = handled(F.max_pool2d, LEFT[name], 2), F.max_pool2d(LEFT[name], 2)
    assert torch.equal(got, wanted)
    assert got.stride() == wanted.stride()


def test_so_is_what_asks_where_the_largest_stands() -> None:
    got, places = handled(F.max_pool2d, MAPS, 2, return_indices=True)
    wanted, their_places = F.max_pool2d(MAPS, 2, return_indices=True)
    assert torch.equal(got, wanted)
    assert torch.equal(places, their_places)


def test_and_a_gradient_inside_of_the_network() -> None:
    x = MAPS.clone()
    got = torch.func.grad(lambda t: handled(F.max_pool2d, t, 2).square().sum())(x)
    assert torch.equal(got, torch.func.grad(lambda t: F.max_pool2d(t, 2).square().sum())(x))
