"""What a checkpoint says of a model that is being saved, and inputs that fit what a checkpoint says."""

from collections.abc import Mapping, Sequence
from inspect import Parameter, signature
from typing import Any, Final

import torch
from torch import Tensor, nn

from mcdrop import zoo
from mcdrop.checkpoint import Architecture, InputSpec, Manifest, checked_part
from mcdrop.checkpoint.architecture import check_factory_name
from mcdrop.checkpoint.directories import huggingface_architecture
from mcdrop.engine.inputs import Call, arguments_of, as_call
from mcdrop.engine.probes import probe_inputs
from mcdrop.engine.sampling import Plan
from mcdrop.errors import CheckpointError, OptionError
from mcdrop.settings import Settings

__all__ = [
    "architecture_of",
    "described_inputs",
    "example_call",
    "example_inputs",
    "input_specs",
    "manifest_of",
    "model_card",
]

_VARIABLE_LENGTH: Final = 8
_EXAMPLE_ROWS: Final = 16


def manifest_of(
    settings: Settings,
    exact: Plan,
    facts: Mapping[str, Any],
) -> Manifest:
    """What a checkpoint says of a model.

    Args:
        settings: How it is sampled.
        exact: Its plan of exact mode.
        facts: The other fields, by name.

    Raises:
        OptionError: If the number of samples is left to a tolerance.
        CheckpointError: If a field is out of its range.
    """
    if settings.count.tolerance is not None:
        raise OptionError(
            "a checkpoint has one number of samples, and this object has n_samples='auto'; make it with a "
            "number (predict still takes n_samples='auto' with a tolerance)"
        )
    sampling = {
        "n_samples": settings.count.most,
        "seed": settings.seed,
        "masks": settings.masks,
        "rng": settings.rng,
    }
    own = {
        "sampling": sampling,
        "exact": {"rows": exact.rows, "strategy": exact.strategy},
    }
    return checked_part(Manifest, **{**own, **facts})


def input_specs(model: nn.Module, call: Call) -> list[InputSpec]:
    """What the checkpoint says of the inputs of `call`; several have the names that `forward` gives them.

    Raises:
        OptionError: If an input is not a tensor with its rows on axis 0, or one of several has no name.
    """
    args, kwargs = call.arguments()
    alone = len(args) == 1 and not kwargs
    named = {**dict(zip(["x"] if alone else _names(model, len(args)), args, strict=True)), **kwargs}
    return [_input_spec(name, value) for name, value in named.items()]


def _names(model: nn.Module, count: int) -> list[str]:
    kinds = (Parameter.POSITIONAL_ONLY, Parameter.POSITIONAL_OR_KEYWORD)
    named = [each for each in signature(model.forward).parameters.values() if each.kind in kinds][:count]
    if len(named) < count or any(each.kind is Parameter.POSITIONAL_ONLY for each in named):
        raise OptionError(
            "a checkpoint gives several inputs by their names, and forward takes them by position only; give "
            "its arguments names"
        )
    return [each.name for each in named]


def described_inputs(given: Sequence[InputSpec | Mapping[str, Any]]) -> list[InputSpec]:
    """What a user says of the inputs, each as an `InputSpec` or as its fields.

    Raises:
        CheckpointError: If a field is missing, unknown or out of its range.
    """
    return [each if isinstance(each, InputSpec) else checked_part(InputSpec, **each) for each in given]


def example_call(model: nn.Module, specs: Sequence[InputSpec]) -> Call:
    """A call that fits a checkpoint, the same everywhere; its integers are zeros."""
    call = as_call(model, *arguments_of(example_inputs(specs)))
    return probe_inputs(call, call.rows, trial=0)


def model_card(manifest: Manifest) -> str:
    """The README of a checkpoint that has none of its own."""
    sampling = manifest.sampling
    inputs = "\n".join(
        f"- `{spec.name}`: {spec.dtype}, ({', '.join(map(str, ['N', *spec.shape]))})"
        for spec in manifest.inputs
    )
    return (
        f"# {manifest.name}\n\nA {manifest.task} model, sampled {sampling.n_samples} times by Monte Carlo "
        f"dropout (seed {sampling.seed}).\n\n## Inputs\n\n{inputs}\n"
    )


def _input_spec(name: str, value: Any) -> InputSpec:
    if not isinstance(value, Tensor) or value.dim() < 1:
        raise OptionError(
            f"a checkpoint describes tensors with rows as inputs, and {name} is a {type(value).__name__}"
        )
    dtype = str(value.dtype).removeprefix("torch.")
    return InputSpec.model_validate({"name": name, "dtype": dtype, "shape": list(value.shape[1:])})


def architecture_of(model: nn.Module, architecture: str | Architecture | None) -> Architecture:
    """Where the module comes from.

    Args:
        model: What is saved.
        architecture: `package.module:factory`, or the whole entry; None for a model of the zoo or of
            transformers.

    Raises:
        CheckpointError: If it is not named so, or not at all and the model is not from the zoo.
    """
    if isinstance(architecture, Architecture):
        return architecture
    if architecture is not None:
        check_factory_name(architecture)
        return Architecture(source="factory", name=architecture)
    if type(model).__module__.startswith("transformers.models."):
        return huggingface_architecture(model)
    entry = zoo.entry_of(model)
    if entry is None:
        raise CheckpointError(
            f"a {type(model).__name__} does not say how to build it again; pass "
            "architecture='package.module:factory', the function that returns it with fresh weights"
        )
    return Architecture(source="zoo", name=entry.name, arguments=dict(entry.arguments))


def example_inputs(specs: Sequence[InputSpec]) -> dict[str, Tensor]:
    """Rows that fit the inputs of a checkpoint, equal everywhere: zeros, 8 of them where lengths vary."""
    return {
        spec.name: torch.zeros(
            _EXAMPLE_ROWS,
            *[_VARIABLE_LENGTH if size < 0 else size for size in spec.shape],
            dtype=getattr(torch, spec.dtype),
            device="cpu",
        )
        for spec in specs
    }
