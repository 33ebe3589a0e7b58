"""Transcripts lose calls that need not be made, and linear layers that vmap took apart are whole again."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mcdrop.engine.dictation import transcript
from mcdrop.engine.shortening import shortened, with_linear_layers
from mcdrop.engine.straight import StraightLine

GENERATOR = torch.Generator().manual_seed(0)
WEIGHT, BIAS = torch.randn(3, 4, generator=GENERATOR), torch.randn(3, generator=GENERATOR)
CUBE = torch.randn(5, 2, 4, generator=GENERATOR)
MATRIX = CUBE[0]


def calls(function: Callable[[Tensor], list[Tensor]], x: Tensor) -> list[str]:
    """What is called in the end, after it was seen to give the same."""
    with torch.inference_mode():
        short = shortened(transcript(lambda given: function(*given), [x]))
        found = with_linear_layers(short)
        other = x + 1
        wanted = function(other)
        for each in (short, found):
            got = StraightLine(each, [x]).run([other])
            assert all(torch.equal(*pair) for pair in zip(got, wanted, strict=True))
    return [step.operator.overloadpacket.__name__ for step in found.steps]


def of_matrix(x: Tensor) -> Tensor:
    return torch.addmm(BIAS, x, WEIGHT.t())


def of_cube(x: Tensor) -> Tensor:
    return of_matrix(x.flatten(0, -2)).view(5, 2, 3)


def test_a_linear_layer_is_one_call() -> None:
    assert calls(lambda x: [of_matrix(x)], MATRIX) == ["linear"]
    assert calls(lambda x: [of_cube(x)], CUBE) == ["linear"]
    assert calls(lambda x: [of_matrix(of_cube(x).relu()[0, :, :1] + x[0])], CUBE).count("linear") == 2


APART: dict[str, tuple[Callable[[Tensor], list[Tensor]], Tensor, list[str]]] = {
    "the matrix is wanted too": (
        lambda x: [(flat := of_matrix(x.flatten(0, -2))).view(5, 2, 3), flat.relu()],
        CUBE,
        ["flatten", "linear", "view", "relu"],
    ),
    "it is an output": (
        lambda x: [flat := of_matrix(x.flatten(0, -2)), flat.view(5, 2, 3)],
        CUBE,
        ["flatten", "linear", "view"],
    ),
    "its rows get other axes": (
        lambda x: [of_matrix(x.flatten(0, -2)).view(5, 1, 2, 3)],
        CUBE,
        ["flatten", "linear", "view"],
    ),
    "they were laid flat otherwise": (
        lambda x: [of_matrix(x.flatten(0, 1)).view(5, 2, 3)],
        CUBE,
        ["flatten", "linear", "view"],
    ),
    "they go on as something else": (
        lambda x: [of_matrix(x.flatten(0, -2)).relu()],
        CUBE,
        ["flatten", "linear", "relu"],
    ),
    "a bias for each row": (
        lambda x: [torch.addmm(BIAS.expand(2, 3), x, WEIGHT.t())],
        MATRIX,
        ["expand", "t", "addmm"],
    ),
    "a bias of the rows": (
        lambda x: [torch.addmm(x[0, :3], x, WEIGHT.t())],
        MATRIX,
        ["select", "slice", "t", "addmm"],
    ),
    "another factor": (
        lambda x: [torch.addmm(BIAS, x, WEIGHT.t(), alpha=2)],
        MATRIX,
        ["t", "addmm"],
    ),
    "a weight as it is": (lambda x: [torch.addmm(BIAS, x, WEIGHT.T.contiguous())], MATRIX, ["numpy_T"]),
    "a weight of the rows": (
        lambda x: [torch.addmm(BIAS[:2], x, x.t())],
        MATRIX,
        ["slice", "t", "addmm"],
    ),
}


@pytest.mark.parametrize("name", APART)
def test_what_is_not_quite_one_keeps_its_calls(name: str) -> None:
    function, x, wanted = APART[name]
    assert calls(function, x)[: len(wanted)] == wanted


def test_views_that_nobody_uses_and_other_objects_of_a_tensor_are_left_out() -> None:
    def function(x: Tensor) -> list[Tensor]:
        x.t()
        return [x.detach().relu().contiguous()]

    assert calls(function, MATRIX) == ["relu"]
