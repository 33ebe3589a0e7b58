"""Operators are called by the functions of torch that make the same call."""

from typing import Any

import pytest
import torch
from torch import Tensor

from mcdrop.engine.bindings import binding
from mcdrop.engine.interception import attention  # noqa: F401 - registers an operator of ours

aten = torch.ops.aten
X = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
IMAGES = X.view(1, 2, 3, 4)

QUICKER: dict[str, tuple[Any, tuple[Any, ...], dict[str, Any]]] = {
    "a function": (aten.relu.default, (X,), {}),
    "with a number": (aten.mul.Tensor, (X, 2.0), {}),
    "of three tensors": (aten.addmm.default, (X[0], X, torch.eye(6)), {}),
    "of a list": (aten.cat.default, ([X, X], 1), {}),
    "with a name": (aten.sum.dim_IntList, (X, [1], True), {"dtype": torch.float64}),
    "a method": (aten.view.default, (X, [2, 12]), {}),
    "one of a network": (aten.max_pool2d_with_indices.default, (IMAGES, [2, 2]), {}),
    "one with an underscore": (aten._softmax.default, (X, 1, False), {}),
    "into a tensor": (aten.add.out, (X, X), {"out": torch.empty(4, 6)}),
}


def tensors(value: Any) -> list[Tensor]:
    return [value] if isinstance(value, Tensor) else list(value)


@torch.inference_mode()
@pytest.mark.parametrize("name", QUICKER)
def test_a_function_is_found_that_gives_the_same(name: str) -> None:
    operator, args, kwargs = QUICKER[name]
    found = binding(operator, args, kwargs)
    assert found is not operator
    pairs = zip(tensors(found(*args, **kwargs)), tensors(operator(*args, **kwargs)), strict=True)
    assert all(torch.equal(*pair) for pair in pairs)


ITSELF: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "the function of that name asks for another overload": (aten.mul.Scalar, (X, 2.0)),
    "there is no function of that name": (aten.slice.Tensor, (X, 0, 1, 3)),
    "the operator is of another library": (
        torch.ops.mcdrop.attention.default,
        (IMAGES, IMAGES, IMAGES, None, False, None, False),
    ),
    "it does not take such arguments": (aten.relu.default, ("text",)),
}


@torch.inference_mode()
@pytest.mark.parametrize("name", ITSELF)
def test_else_the_operator_is_called_itself(name: str) -> None:
    operator, args = ITSELF[name]
    assert binding(operator, args, {}) is operator


@torch.inference_mode()
def test_to_find_one_makes_no_call() -> None:
    x = X.clone()
    found = binding(aten.add_.Tensor, (x, 1), {})
    assert torch.equal(x, X)
    found(x, 1)
    assert torch.equal(x, X + 1)
