"""The parts of a model: what every call looks at, to see whether one was exchanged."""

import operator
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import Any, Final

from torch import Tensor, nn

__all__ = ["are_same", "parts_of"]

_HOLDERS: Final = ("_parameters", "_buffers", "_forward_pre_hooks", "_forward_hooks")
_VALUES: Final = frozenset({bool, float, int, str, type(None)})
_LOOKED_AT: Final = _VALUES | {Tensor, FunctionType, BuiltinFunctionType, MethodType}


def parts_of(model: nn.Module) -> list[Any]:
    """Modules, their tensors, functions and hooks, and the numbers and names they hold.

    Other objects that they hold, such as a list or a configuration, are not looked into.
    """
    modules, seen = [model], {id(model)}
    parts: list[Any] = []
    for module in modules:  # which grows meanwhile
        held = vars(module)
        parts.append(module)
        parts += [v for name, v in held.items() if type(v) in _LOOKED_AT and name != "training"]
        for name in _HOLDERS:
            inside = held.get(name)
            if inside:
                parts += inside.values()
        inner = held.get("_modules")
        if inner:  # most modules are leaves
            children = [child for child in inner.values() if child is not None and id(child) not in seen]
            modules += children
            seen.update(map(id, children))
    return parts


def are_same(these: list[Any], others: list[Any]) -> bool:
    """Whether two lists of `parts_of` hold the same: objects themselves, numbers and names by value."""
    if len(these) != len(others):
        return False
    return all(map(operator.is_, these, others)) or all(map(_is_same, these, others))


def _is_same(one: Any, other: Any) -> bool:
    return one is other or (type(one) is type(other) and type(one) in _VALUES and one == other)
