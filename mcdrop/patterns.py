"""Patterns: which modules of a model are meant, by a glob over their paths, by type, or by a predicate."""

from collections.abc import Callable, Iterable
from difflib import get_close_matches
from fnmatch import fnmatchcase
from inspect import signature
from typing import Final

from torch import nn

from mcdrop.errors import OptionError

__all__ = ["Target", "check_target", "described", "matching", "no_match"]

Target = str | type[nn.Module] | tuple[type[nn.Module], ...] | Callable[[str, nn.Module], bool]
"""A glob (`encoder.*.linear1`; `*` crosses dots), a type or types, or a predicate of (path, module)."""

_SHOWN: Final = 5


def check_target(target: object) -> None:
    """See that something can mean modules.

    Raises:
        OptionError: If it is no glob, type, tuple of types or predicate.
    """
    wanted = "layers are meant by a glob over their paths, a type, a tuple of types, or a predicate"
    if isinstance(target, nn.Module):
        raise OptionError(f"{wanted}; got a {type(target).__name__} itself: name its path, such as 'head.0'")
    if isinstance(target, tuple):
        bad = [kind for kind in target if not isinstance(kind, type)]
        if bad or not target:
            raise OptionError(f"{wanted}; got {target!r}: several places go in a list")
    elif not isinstance(target, str) and not callable(target):
        raise OptionError(f"{wanted}; got {target!r}")
    elif callable(target) and not isinstance(target, type) and not _takes_two(target):
        raise OptionError(
            f"{wanted}; a predicate is called with a path and a module: lambda path, module: ..."
        )


def _takes_two(predicate: Callable[..., object]) -> bool:
    try:
        signature(predicate).bind("", None)
    except TypeError:
        return False
    except ValueError:  # a built-in that does not say what it takes
        return True
    return True


def matching(model: nn.Module, target: Target, advice: str = "") -> list[tuple[str, nn.Module]]:
    """Paths and modules that are meant, each module once, in the order of the model.

    A glob with wildcards does not mean the model itself, whose path is empty.

    Args:
        model: Where to look.
        target: What is meant.
        advice: What to say in addition, if nothing matches.

    Raises:
        OptionError: If nothing matches; the paths, or the types, that come nearest are listed.
    """
    everything = list(model.named_modules(remove_duplicate=False))
    matched = [(path, module) for path, module in everything if _is_meant(target, path, module)]
    if not matched:
        names = [path for path, _ in everything if path]
        if isinstance(target, type | tuple):
            names = [type(module).__name__ for _, module in everything[1:]]
        raise no_match(described(target), model, names, advice or _type_meant(target, model))
    once = {id(module): (path, module) for path, module in reversed(matched)}
    return list(once.values())[::-1]


def _is_meant(target: Target, path: str, module: nn.Module) -> bool:
    if isinstance(target, str):
        return fnmatchcase(path, target) and (bool(path) or not target)
    if isinstance(target, type | tuple):
        return isinstance(module, target)
    return bool(target(path, module))


def _type_meant(target: Target, model: nn.Module) -> str:
    """What to say of a glob that is no path and the name of a type in the model."""
    name = target.rpartition(".")[2] if isinstance(target, str) else ""
    kinds = {type(module) for module in model.modules() if type(module).__name__ == name}
    if not kinds:
        return ""
    shown = f"nn.{name}" if getattr(nn, name, None) in kinds else name
    return f"; a string means paths, for all layers of the type pass {shown} itself"


def described(target: Target) -> str:
    """A target in words, for messages."""
    if isinstance(target, str):
        return repr(target)
    kinds = target if isinstance(target, tuple) else (target,)
    return " or ".join(getattr(kind, "__name__", repr(kind)) for kind in kinds)


def no_match(wanted: str, model: nn.Module, names: Iterable[str], advice: str = "") -> OptionError:
    """The error of a pattern that means nothing in a model.

    Args:
        wanted: What was asked for.
        model: Where it was looked for.
        names: What could have been meant.
        advice: Behind all that.
    """
    known = list(dict.fromkeys(names))
    near = get_close_matches(wanted.strip("'"), known, n=_SHOWN, cutoff=0.5)
    listed = ", ".join(near or known[:_SHOWN]) + (", ..." if not near and len(known) > _SHOWN else "")
    hint = f"near matches: {listed}" if near else f"there are: {listed}" if known else "there are none"
    return OptionError(f"{wanted} matches nothing in {type(model).__name__}; {hint}{advice}")
