"""Layers without a draw, made for all samples by one native call."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.interception.whole import among_copies
from mcdrop.engine.sites import Law
from tests.support.tolerances import EXACT, FLOAT32

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT, BIAS = torch.randn(4, 4, generator=GENERATOR), torch.randn(4, generator=GENERATOR)

LAYERS: dict[str, Callable[[Tensor], Tensor]] = {
    "linear": lambda x: F.linear(x, WEIGHT, BIAS),
    "linear without bias": lambda x: F.linear(x, WEIGHT),
    "a single output without its axis": lambda x: F.linear(x, WEIGHT[0]),
}


class NoDraws:
    def draw(self, kind: str, _p: float | None, _law: Law, _shape: tuple[int, ...]) -> Tensor:
        raise AssertionError(kind)


def mapped(
    layer: Callable[..., Tensor],
    *inputs: Tensor,
    in_dims: Any = 0,
    handlers: dict[Any, Any] = HANDLERS,
) -> Tensor:
    def one(*inputs: Tensor) -> Tensor:
        with Interception(NoDraws(), handlers, lambda: ""):
            return layer(*inputs)

    out: Tensor = torch.func.vmap(one, in_dims=in_dims)(*inputs)
    return out


class Operators(TorchDispatchMode):
    """The arithmetic that runs."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen.append(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("axis", [0, 1, -1])
@pytest.mark.parametrize("shape", [(4,), (3, 4), (2, 3, 4), (2, 3, 5, 4)])
def test_a_layer_under_vmap_is_that_of_each_sample(name: str, axis: int, shape: tuple[int, ...]) -> None:
    x = torch.randn(6, *shape, generator=GENERATOR)
    wanted = torch.stack([LAYERS[name](one) for one in x])
    got = mapped(LAYERS[name], x.movedim(0, axis), in_dims=axis)
    torch.testing.assert_close(got, wanted, **FLOAT32)


def test_the_bias_takes_no_pass_of_its_own() -> None:
    with torch.no_grad(), Operators() as operators:
        mapped(LAYERS["linear"], torch.randn(6, 3, 4, generator=GENERATOR))
    assert operators.seen.count("addmm") == 1
    assert not {"add", "add_"} & set(operators.seen)


def test_parameters_that_differ_between_samples_stay_with_theirs() -> None:
    x, weights, biases = (torch.randn(6, *s, generator=GENERATOR) for s in ((3, 4), (4, 4), (4,)))
    for in_dims in ((0, 0, 0), (0, 0, None), (0, None, 0), (None, 0, None)):
        given = [t if axis == 0 else t[0] for t, axis in zip((x, weights, biases), in_dims, strict=True)]
        wanted = torch.stack(
            [
                F.linear(*(t if axis is None else t[s] for t, axis in zip(given, in_dims, strict=True)))
                for s in range(6)
            ]
        )
        torch.testing.assert_close(mapped(F.linear, *given, in_dims=in_dims), wanted, **FLOAT32)


def test_a_vmap_and_a_gradient_inside_of_the_network_are_left_alone() -> None:
    x = torch.randn(6, 3, 4, generator=GENERATOR)

    def by_row(one: Tensor) -> Tensor:
        out: Tensor = torch.func.vmap(LAYERS["linear"])(one)
        return out

    def gradient(one: Tensor) -> Tensor:
        out: Tensor = torch.func.grad(lambda t: LAYERS["linear"](t).square().sum())(one)
        return out

    torch.testing.assert_close(mapped(by_row, x), LAYERS["linear"](x), **FLOAT32)
    wanted = 2 * LAYERS["linear"](x) @ WEIGHT
    torch.testing.assert_close(mapped(gradient, x), wanted, **FLOAT32)


def test_outside_of_vmap_a_layer_is_the_native_one() -> None:
    x = torch.randn(3, 4, generator=GENERATOR)
    with Interception(NoDraws(), HANDLERS, lambda: ""):
        got = LAYERS["linear"](x)
    torch.testing.assert_close(got, LAYERS["linear"](x), **EXACT)


OF_FOUR = HANDLERS | {F.linear: among_copies(4)}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("shape", [(1, 4), (3, 4), (1, 2, 4)])
def test_a_few_rows_have_the_bits_of_those_before_others(name: str, shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=GENERATOR)
    rows = x.flatten(0, -2)
    with Interception(NoDraws(), OF_FOUR, lambda: ""), Operators() as operators:
        got = LAYERS[name](x)
    wanted = LAYERS[name](torch.cat((rows, torch.zeros(4 - len(rows), 4))))[: len(rows)]
    torch.testing.assert_close(got, wanted.view(*x.shape[:-1], *wanted.shape[1:]), **EXACT)
    assert "cat" in operators.seen


@pytest.mark.parametrize("shape", [(4,), (0, 4), (4, 4), (2, 3, 4)])
def test_no_copies_stand_behind_enough_rows_or_none(shape: tuple[int, ...]) -> None:
    x = torch.randn(shape, generator=GENERATOR)
    with Interception(NoDraws(), OF_FOUR, lambda: ""), Operators() as operators:
        got = LAYERS["linear"](x)
    torch.testing.assert_close(got, LAYERS["linear"](x), **EXACT)
    assert "cat" not in operators.seen


def test_nor_behind_rows_of_which_each_sample_has_its_own() -> None:
    x, weights = torch.randn(6, 2, 4, generator=GENERATOR), torch.randn(6, 4, 4, generator=GENERATOR)
    with Operators() as operators:
        rows = mapped(LAYERS["linear"], x, handlers=OF_FOUR)
        layers = mapped(F.linear, x[0], weights, in_dims=(None, 0), handlers=OF_FOUR)
    assert "cat" not in operators.seen
    torch.testing.assert_close(rows, LAYERS["linear"](x), **FLOAT32)
    torch.testing.assert_close(layers, x[0] @ weights.transpose(1, 2), **FLOAT32)
