"""Patterns: which modules of a model are meant, by a glob over their paths, by type, or by a predicate."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Final

from torch import nn

from mcdrop.errors import OptionError

__all__ = ["Target", "described", "matching", "no_match"]

Target = str | type[nn.Module] | tuple[type[nn.Module], ...] | Callable[[str, nn.Module], bool]
"""A glob (`encoder.*.linear1`; `*` crosses dots), a type or types, or a predicate of (path, module)."""

_SHOWN: Final = 5


def matching(model: nn.Module, target: Target) -> list[tuple[str, nn.Module]]:
    """Paths and modules that are meant, each module once, in the order of the model.

    A glob with wildcards does not mean the model itself, whose path is empty.

    Raises:
        OptionError: If nothing matches; the paths that come nearest are listed.
    """
    everything = list(model.named_modules(remove_duplicate=False))
    matched = [(path, module) for path, module in everything if _is_meant(target, path, module)]
    if not matched:
        raise no_match(described(target), model, [path for path, _ in everything if path])
    once = {id(module): (path, module) for path, module in reversed(matched)}
    return list(once.values())[::-1]


def _is_meant(target: Target, path: str, module: nn.Module) -> bool:
    if isinstance(target, str):
        return fnmatchcase(path, target) and (bool(path) or not target)
    if isinstance(target, type | tuple):
        return isinstance(module, target)
    return bool(target(path, module))


def described(target: Target) -> str:
    """A target in words, for messages."""
    if isinstance(target, str):
        return repr(target)
    kinds = target if isinstance(target, tuple) else (target,)
    return " or ".join(getattr(kind, "__name__", repr(kind)) for kind in kinds)


def no_match(wanted: str, model: nn.Module, names: Iterable[str]) -> OptionError:
    """The error of a pattern that means nothing in a model.

    Args:
        wanted: What was asked for.
        model: Where it was looked for.
        names: What could have been meant.
    """
    known = list(dict.fromkeys(names))
    near = get_close_matches(wanted.strip("'"), known, n=_SHOWN, cutoff=0.5)
    listed = ", ".join(near or known[:_SHOWN]) + (", ..." if not near and len(known) > _SHOWN else "")
    hint = f"near matches: {listed}" if near else f"there are: {listed}" if known else "there are none"
    return OptionError(f"{wanted} matches nothing in {type(model).__name__}; {hint}")
