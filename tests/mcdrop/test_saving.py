"""What a checkpoint says of a model that is being saved."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mcdrop import zoo
from mcdrop.checkpoint import Architecture, InputSpec
from mcdrop.engine.inputs import as_call
from mcdrop.errors import CheckpointError, OptionError
from mcdrop.saving import architecture_of, described_inputs, example_inputs, input_specs, model_card
from tests.support.checkpoints import small_manifest


def test_a_model_of_the_zoo_carries_its_architecture() -> None:
    found = architecture_of(zoo.create("diabetes_mlp", hidden=8, p=0.3), None)
    assert (found.source, found.name, found.arguments["hidden"]) == ("zoo", "diabetes_mlp", 8)


def test_a_factory_is_named_and_an_entry_is_taken_as_it_is() -> None:
    assert architecture_of(nn.Identity(), "package.module:make").source == "factory"
    entry = Architecture(source="timm", name="vit_tiny")
    assert architecture_of(nn.Identity(), entry) is entry


def test_any_other_model_must_say_how_it_is_built() -> None:
    with pytest.raises(CheckpointError, match="a Identity does not say how to build it again"):
        architecture_of(nn.Identity(), None)


class Named(nn.Module):
    """Several inputs, by position or by name."""

    def forward(self, first: Tensor, second: Tensor | None = None, *more: Tensor, ids: Any = None) -> Tensor:
        given = [each for each in (second, *more, ids) if each is not None]
        return first + len(given)


def test_one_input_is_called_x_and_several_have_the_names_of_forward() -> None:
    x, ids = torch.zeros(2, 3), torch.zeros(2, 5, dtype=torch.int64)
    (alone,) = input_specs(nn.Identity(), as_call(nn.Identity(), (x,), {}))
    assert (alone.name, alone.dtype, alone.shape) == ("x", "float32", [3])
    named = input_specs(Named(), as_call(Named(), (x, x), {"ids": ids}))
    assert [(spec.name, spec.dtype) for spec in named] == [
        ("first", "float32"),
        ("second", "float32"),
        ("ids", "int64"),
    ]
    assert [spec.name for spec in input_specs(Named(), as_call(Named(), (x,), {"ids": ids}))] == [
        "first",
        "ids",
    ]
    with pytest.raises(OptionError, match="forward takes them by position only; give its arguments names"):
        input_specs(Named(), as_call(Named(), (x, x, x), {}))


def test_inputs_are_described_by_their_fields_too() -> None:
    spec = InputSpec(name="x", dtype="float32", shape=[3])
    assert described_inputs([spec, {"name": "x", "dtype": "float32", "shape": [3]}]) == [spec, spec]
    with pytest.raises(CheckpointError, match="InputSpec: dtype"):
        described_inputs([{"name": "x", "dtype": "f32", "shape": [3]}])


class Pair(nn.Module):
    """Takes something beside its rows."""

    def forward(self, x: torch.Tensor, extra: object) -> torch.Tensor:
        """(N, D) -> (N, D)."""
        return x if extra is None else x + 1


@pytest.mark.parametrize("value", [3, torch.tensor(1.0), None])
def test_an_input_without_rows_cannot_be_described(value: object) -> None:
    call = as_call(Pair(), (torch.zeros(2, 3),), {"extra": value})
    with pytest.raises(
        OptionError, match="a checkpoint describes tensors with rows as inputs, and extra is a"
    ):
        input_specs(nn.Identity(), call)


def test_examples_fit_what_is_described() -> None:
    specs = [
        InputSpec(name="x", dtype="float64", shape=[3, -1]),
        InputSpec(name="ids", dtype="int64", shape=[]),
    ]
    made = example_inputs(specs)
    assert {name: (tuple(t.shape), t.dtype) for name, t in made.items()} == {
        "x": ((16, 3, 8), torch.float64),
        "ids": ((16,), torch.int64),
    }


def test_the_model_card_names_the_inputs() -> None:
    text = model_card(small_manifest(inputs=[InputSpec(name="age", dtype="float32", shape=[])]))
    assert "# small" in text
    assert "- `age`: float32, (N)" in text


@pytest.mark.parametrize(
    "name", ["nets.make", "nets", "nets:", "nets:make()", "./nets.py:make", small_manifest, {}]
)
def test_what_names_no_factory_is_refused_when_it_is_saved(name: Any) -> None:
    with pytest.raises(CheckpointError, match=r"must be named package\.module:function, got "):
        architecture_of(nn.Linear(1, 1), name)
