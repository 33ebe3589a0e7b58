"""Max pooling by kernels that do not guess: sooner, with the same bits."""

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
EVEN = torch.randn(4, 16, 8, 12, generator=GENERATOR)
LINES, CHANNELS, NATIVE = ["lines", "lines"], ["channels"], ["native"]


class NoDraws:
    def draw(self, kind: str, _p: float | None, _law: Law, _shape: tuple[int, ...]) -> Tensor:
        raise AssertionError(kind)


class Kernels(TorchDispatchMode):
    """By what maps are pooled."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if "max_pool1d" in str(func):
            self.seen.append("lines")
        elif "max_pool" in str(func):
            self.seen.append("channels" if args[0].stride(1) == 1 else "native")
        return func(*args, **(kwargs or {}))


def handled(pool: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with Interception(NoDraws(), HANDLERS, lambda: ""):
        return pool(*args, **kwargs)


def kernel(pool: Callable[..., Any], x: Tensor, *args: Any, **kwargs: Any) -> list[str]:
    kernels = Kernels()
    with torch.inference_mode(), kernels:
        handled(pool, x, *args, **kwargs)
    return kernels.seen


def bits(x: Tensor) -> Tensor:
    return x.contiguous().view(torch.int32)


def awkward(*shape: int) -> Tensor:
    """Equal numbers, zeros of both signs, infinities, and several of what is no number."""
    values = torch.tensor([0.0, -0.0, 1.0, 1.0, -2.0, 3.0, math.inf, -math.inf, math.nan, -math.nan])
    return values[torch.randint(len(values), shape, generator=GENERATOR)]


def autograd(function: Callable[[Tensor], Tensor]) -> Callable[[Tensor], Tensor]:
    """As `torch.func.grad`, by torch's own tape."""

    def gradient(x: Tensor) -> Tensor:
        x = x.clone().requires_grad_()
        return torch.autograd.grad(function(x), x)[0]

    return gradient


WAYS: dict[str, tuple[Tensor, list[str], dict[str, Any]]] = {
    "halves": (EVEN, LINES, {"kernel_size": 2}),
    "halves of a few channels": (EVEN.reshape(16, 4, 8, 12), LINES, {"kernel_size": 2}),
    "an odd number of windows along a line": (EVEN, LINES, {"kernel_size": 4}),
    "another size for lines": (EVEN, LINES, {"kernel_size": [4, 3], "stride": (4, 3)}),
    "along lines": (EVEN, LINES, {"kernel_size": (1, 2)}),
    "across lines": (EVEN, LINES, {"kernel_size": (2, 1)}),
    "whole maps": (EVEN, LINES, {"kernel_size": (8, 12)}),
    "halves with a rest": (MAPS, CHANNELS, {"kernel_size": 2}),
    "halves with a rest of a line": (EVEN[..., :11].contiguous(), CHANNELS, {"kernel_size": 2}),
    "the rest too": (MAPS, CHANNELS, {"kernel_size": 4, "ceil_mode": True}),
    "padded": (EVEN, CHANNELS, {"kernel_size": 2, "padding": 1}),
    "overlapping": (EVEN, CHANNELS, {"kernel_size": 4, "stride": 2}),
    "two sizes": (EVEN, CHANNELS, {"kernel_size": (4, 2), "stride": (1, 2)}),
    "dilated": (EVEN, CHANNELS, {"kernel_size": 2, "dilation": 2}),
    "a single pixel of a rest": (MAPS, CHANNELS, {"kernel_size": (8, 12)}),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("maps", ["usual", "awkward"])
def test_the_bits_and_the_order_in_memory_are_those_of_the_native_call(way: str, maps: str) -> None:
    x, kernels, how = WAYS[way]
    x = x if maps == "usual" else awkward(*x.shape)
    with torch.inference_mode():
        got, wanted = handled(F.max_pool2d, x, **how), F.max_pool2d(x, **how)
    assert torch.equal(bits(got), bits(wanted))
    assert got.stride() == wanted.stride()
    assert kernel(F.max_pool2d, x, **how) == kernels


@pytest.mark.parametrize("shape", [(4, 16, 8, 8), (16, 8, 8)])
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize(("size", "kernels"), [(2, LINES), (3, CHANNELS)])
def test_under_vmap_one_call_does_all_samples(
    shape: tuple[int, ...], axis: int, size: int, kernels: list[str]
) -> None:
    x = torch.randn(6, *shape, generator=GENERATOR)
    wanted, seen = torch.stack([F.max_pool2d(one, size) for one in x]), Kernels()
    with torch.inference_mode(), seen:
        got = torch.func.vmap(lambda one: handled(F.max_pool2d, one, size), in_dims=axis)(x.movedim(0, axis))
    assert torch.equal(got, wanted)
    assert seen.seen == kernels


POOLS: dict[str, Callable[..., Any]] = {
    "F.max_pool2d": F.max_pool2d,
    "nn.MaxPool2d": lambda x, size: torch.nn.MaxPool2d(size)(x),
    "torch.max_pool2d": torch.max_pool2d,
    "the operator": lambda x, size: torch.ops.aten.max_pool2d(x, [size, size]),
    "its overload": lambda x, size: torch.ops.aten.max_pool2d.default(x, [size, size]),
}


@pytest.mark.parametrize("name", POOLS)
def test_by_whatever_name_it_is_called(name: str) -> None:
    assert kernel(POOLS[name], EVEN, 2) == LINES
    assert kernel(POOLS[name], MAPS, 2) == CHANNELS
    with torch.inference_mode():
        assert torch.equal(handled(POOLS[name], EVEN, 2), F.max_pool2d(EVEN, 2))


LEFT: dict[str, Tensor] = {
    "few numbers": EVEN[:1],
    "few channels with a rest": MAPS.reshape(16, 4, 9, 12),
    "another dtype": EVEN.double(),
    "a map without an axis of rows": EVEN.reshape(64, 8, 12),
    "another order in memory": EVEN.transpose(2, 3),
}


@pytest.mark.parametrize("name", LEFT)
def test_all_else_is_left_to_the_native_call(name: str) -> None:
    assert kernel(F.max_pool2d, LEFT[name], 2) == NATIVE
    with torch.inference_mode():
        got, wanted = handled(F.max_pool2d, LEFT[name], 2), F.max_pool2d(LEFT[name], 2)
    assert torch.equal(got, wanted)
    assert got.stride() == wanted.stride()


def test_so_is_what_asks_where_the_largest_stands() -> None:
    got, places = handled(F.max_pool2d, EVEN, 2, return_indices=True)
    wanted, their_places = F.max_pool2d(EVEN, 2, return_indices=True)
    assert torch.equal(got, wanted)
    assert torch.equal(places, their_places)


@pytest.mark.parametrize("grad", [torch.func.grad, autograd])
def test_a_gradient_inside_of_the_network_comes_back(grad: Any) -> None:
    got = grad(lambda t: handled(F.max_pool2d, t, 2).square().sum())(EVEN)
    assert torch.equal(got, torch.func.grad(lambda t: F.max_pool2d(t, 2).square().sum())(EVEN))
