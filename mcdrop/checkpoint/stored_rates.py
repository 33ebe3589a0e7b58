"""Rates: what a checkpoint says of the dropout rates of a model, and a model with these.

An architecture is built with the rates that its arguments or its code give. What a model was given later, by
hand or by `mcdrop.with_rates`, and dropout that was injected, is written down and put back when it is read.
"""

from collections.abc import Mapping
from typing import Final

from torch import nn

from mcdrop.checkpoint.architecture import build_outline
from mcdrop.checkpoint.manifest import Architecture
from mcdrop.errors import CheckpointError, McdropError
from mcdrop.injection import After, Attention, Before, Place, default_layer, inject
from mcdrop.rates import Rate, rates_of

__all__ = ["recorded_rates", "with_recorded_rates"]

_INJECTED: Final[dict[str, type[Place]]] = {"injected_before": Before, "injected_after": After}
_INJECTED_ATTRIBUTE: Final = "injected_dropout"


def recorded_rates(model: nn.Module, architecture: Architecture) -> dict[str, float]:
    """The rates that a checkpoint has to say, by path and attribute.

    Args:
        model: What is saved.
        architecture: How it is built again.

    Returns:
        Those that differ from what the architecture builds; all, if a factory builds it.

    Raises:
        CheckpointError: If what is built has a rate where the model has none, or the model has an injected
            layer of a kind that cannot be put back.
    """
    for path, module in model.named_modules():
        _refuse_other_kinds(path, module)
    own = {rate.name: rate.p for rate in rates_of(model)}
    outline = build_outline(architecture)
    if outline is None:
        return own
    built = {rate.name: rate.p for rate in rates_of(outline)}
    missing = sorted(set(built) - set(own))
    if missing:
        raise CheckpointError(
            f"the architecture {architecture.name!r} has a dropout rate at {missing[0]}, and the model has "
            "none there; set the rate to 0 instead of taking the layer out, or name a factory that builds it"
        )
    return {name: p for name, p in own.items() if built.get(name) != p}


def with_recorded_rates(model: nn.Module, recorded: Mapping[str, float], *, all_of_them: bool) -> nn.Module:
    """A freshly built model with the rates of its checkpoint; it may be changed in place.

    Args:
        model: As its architecture builds it.
        recorded: By path and attribute.
        all_of_them: Whether every rate must be recorded, if any is.

    Raises:
        CheckpointError: If the model has no such rate, or one that is not recorded.
    """
    injected = {_place(name): p for name, p in recorded.items() if _is_injected(name)}
    if injected:
        model = _injected(model, injected)
    known = {rate.name: rate for rate in rates_of(model)}
    _check_names(set(recorded), set(known), all_of_them=all_of_them)
    for name, p in recorded.items():
        _set(model, known[name], p)
    return model


def _set(model: nn.Module, rate: Rate, p: float) -> None:
    if rate.p != p:
        setattr(model.get_submodule(rate.path), rate.attribute, p)


def _check_names(recorded: set[str], known: set[str], *, all_of_them: bool) -> None:
    unknown = sorted(recorded - known)
    if unknown:
        raise CheckpointError(f"it has a dropout rate for {unknown[0]!r}, where the architecture has none")
    silent = sorted(known - recorded)
    if all_of_them and recorded and silent:
        raise CheckpointError(
            f"the architecture has a dropout rate at {silent[0]!r}, of which the checkpoint says nothing; "
            "its code has changed since the model was saved"
        )


# --- injected dropout --------------------------------------------------------------------------------


def _is_injected(name: str) -> bool:
    *path, attribute = name.split(".")
    return attribute == _INJECTED_ATTRIBUTE or bool(path and path[-1] in _INJECTED)


def _place(name: str) -> Place:
    *path, attribute = name.split(".")
    if attribute == _INJECTED_ATTRIBUTE:
        return Attention(".".join(path))
    return _INJECTED[path[-1]](".".join(path[:-1]))


def _injected(model: nn.Module, places: Mapping[Place, float]) -> nn.Module:
    try:
        return inject(model, p=places)  # type: ignore[arg-type]  # a mapping is invariant in its keys
    except McdropError as error:
        raise CheckpointError(f"its injected dropout cannot be put back: {error}") from error


def _refuse_other_kinds(path: str, module: nn.Module) -> None:
    """Of an injected layer its place and rate are saved, so it must be of the kind that `inject` takes."""
    for child in _INJECTED:
        layer = getattr(module, child, None)
        if layer is not None and type(layer) is not default_layer(module):
            raise CheckpointError(
                f"{path}.{child} is a {type(layer).__name__} that was injected with layer=, which a "
                "checkpoint cannot rebuild; inject it in a function of your own and name that as architecture"
            )
