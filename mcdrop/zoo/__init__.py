"""Architectures by name: what a checkpoint names when it needs no code of the user's.

    model = mcdrop.zoo.create("digits_cnn", p=0.2)

An entry is a class whose constructor takes keywords that JSON can hold, and which keeps each as an attribute.
Scaling and units are part of it, in buffers, so that it takes raw inputs and its weights are all that a
checkpoint needs.
"""

import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from torch import nn

from mcdrop.errors import OptionError
from mcdrop.zoo.diabetes import DiabetesMLP
from mcdrop.zoo.digits import DigitsCNN

__all__ = ["DiabetesMLP", "DigitsCNN", "ZooEntry", "create", "entry_of", "names"]

_CLASSES: Final[Mapping[str, type[nn.Module]]] = {"diabetes_mlp": DiabetesMLP, "digits_cnn": DigitsCNN}


@dataclass(frozen=True)
class ZooEntry:
    """How to make a model again.

    Attributes:
        name: In the zoo.
        arguments: All of them, those left at their default included, so that a later default changes nothing.
    """

    name: str
    arguments: Mapping[str, Any]


def names() -> tuple[str, ...]:
    """All names that `create` knows, sorted."""
    return tuple(sorted(_CLASSES))


def create(name: str, /, **arguments: Any) -> nn.Module:
    """A freshly initialised model, in train mode; its weights draw from torch's global generator.

    Args:
        name: One of `names()`.
        **arguments: Of its constructor.

    Raises:
        OptionError: If there is no such name or argument.
    """
    if name not in _CLASSES:
        raise OptionError(f"the zoo has {', '.join(names())}; got {name!r}")
    parameters = _parameters(name)
    unknown = next((argument for argument in arguments if argument not in parameters), None)
    if unknown is not None:
        raise OptionError(f"{name} takes {', '.join(parameters)}; got {unknown!r}")
    return _CLASSES[name](**arguments)


def entry_of(model: nn.Module) -> ZooEntry | None:
    """What makes a model of this architecture again; None if its class is not in the zoo."""
    for name, known in _CLASSES.items():
        if type(model) is known:
            return ZooEntry(name, {argument: getattr(model, argument) for argument in _parameters(name)})
    return None


def _parameters(name: str) -> tuple[str, ...]:
    return tuple(inspect.signature(_CLASSES[name]).parameters)
