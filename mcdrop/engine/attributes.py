"""What the Python objects of a model hold, to see whether a forward pass has changed any of it.

Objects and tensors count by identity, tensors also by how often they were written to. Of the globals beside
the classes, numbers and names are seen, and lists and mappings of them. TorchScript may look where none sees.
"""

import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from operator import attrgetter
from types import FunctionType, GenericAlias, MethodType, ModuleType, UnionType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["attributes", "enclosed", "unchanged"]

_MOST: Final = 200_000
_PLAIN: Final = (bool, bytes, complex, float, int, str, type(None))
_LEFT_OUT: Final = (type, ModuleType, GenericAlias, UnionType, torch.device, torch.dtype)
_WRAPPERS: Final = (staticmethod, classmethod, MethodType)


def attributes(model: nn.Module) -> list[Any]:
    """All that can be reached from the modules of a model, and from their classes, in a fixed order.

    Raises:
        ValueError: If it is too much to look at, or calls TorchScript.
    """
    found: list[Any] = []
    seen: set[int] = set()
    waiting: list[Any] = [model, *_of_classes(model)]
    while waiting:  # no recursion: modules nest deeply
        value = waiting.pop()
        found.append(value)
        if not isinstance(value, _PLAIN) and id(value) not in seen:
            seen.add(id(value))
            waiting += _parts(value)
        if len(found) > _MOST or isinstance(value, torch.jit.ScriptFunction):
            raise ValueError(f"a model holds TorchScript, or more than {_MOST} attributes")
    return found


def unchanged(before: list[Any], after: list[Any]) -> bool:
    """Whether two lists of `attributes` tell the same."""
    return len(before) == len(after) and all(map(_same, before, after))


def _same(one: Any, other: Any) -> bool:
    return one is other or (isinstance(one, _PLAIN) and type(one) is type(other) and one == other)


def _of_classes(model: nn.Module) -> Iterator[Any]:
    """What the classes of the modules hold, and the globals beside them."""
    classes = {cls for module in model.modules() for cls in type(module).__mro__ if _is_own(cls)}
    for cls in sorted(classes, key=attrgetter("__module__", "__qualname__")):
        yield from (value for name, value in vars(cls).items() if not name.startswith("__"))
    for name in sorted({cls.__module__ for cls in classes}):
        for value in list(vars(sys.modules.get(name, object)).values()):
            yield from _numbers(value)


def _numbers(value: Any) -> list[Any]:
    """A plain value, or those in a list or a mapping."""
    items = value.values() if isinstance(value, dict) else value if isinstance(value, list | set) else [value]
    return [item for item in items if isinstance(item, (*_PLAIN, torch.jit.ScriptFunction))]


def _is_own(cls: type) -> bool:
    return cls.__module__.partition(".")[0] not in ("builtins", "torch", "typing")


def _parts(value: Any) -> Iterable[Any]:
    """What an object holds, as far as that is known; else what it says of itself."""
    if isinstance(value, _LEFT_OUT) or type(value).__module__ == "typing":
        return ()
    if isinstance(value, Tensor):
        return () if value.is_inference() else (value._version,)  # noqa: SLF001
    if isinstance(value, np.ndarray):
        return (value.tobytes(),)
    if isinstance(value, (FunctionType, partial, *_WRAPPERS)):
        return _of_function(value)
    return _held(value)


def _of_function(value: Any) -> Iterable[Any]:
    if isinstance(value, partial):
        return (value.func, value.args, value.keywords)
    if isinstance(value, _WRAPPERS):
        return (getattr(value, "__self__", None), value.__func__)
    return (*enclosed(value), value.__defaults__, value.__kwdefaults__, vars(value))


def enclosed(function: FunctionType) -> Iterator[Any]:
    """What the variables hold that a function has from around it."""
    for cell in function.__closure__ or ():
        with suppress(ValueError):  # a variable that was never set
            yield cell.cell_contents


def _held(value: Any) -> list[Any]:
    held: list[Any] = [vars(value)] if hasattr(value, "__dict__") else []
    if isinstance(value, Mapping):
        held += [*value.keys(), *value.values()]
    elif isinstance(value, list | tuple | set | frozenset):
        held += value
    for cls in type(value).__mro__:
        slots = getattr(cls, "__slots__", ())
        held += [getattr(value, name, None) for name in ([slots] if isinstance(slots, str) else slots)]
    return held or [repr(value)]
