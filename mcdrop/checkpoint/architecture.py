"""Architectures: from the manifest's words to a module with random weights.

A name in the zoo can always be built, and so can a model of transformers or timm where these are installed. A
`package.module:function` is imported only if the operator allowed
its package by name, and only a function that this package itself defines is called: an allowed package must
not open the door to whatever else it happens to import.
"""

import re
from collections.abc import Callable, Collection
from functools import partial
from importlib import import_module
from typing import Any, Final

import torch
from torch import nn

from mcdrop import zoo
from mcdrop.checkpoint.libraries import huggingface_factory, timm_factory
from mcdrop.checkpoint.manifest import Architecture
from mcdrop.errors import CheckpointError

__all__ = ["OUTLINED", "build", "build_outline", "check_factory_name"]

OUTLINED: Final = frozenset({"zoo", "huggingface", "timm"})
"""Sources whose models can be built on the meta device."""

_FACTORY: Final = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*", re.ASCII)


def build(architecture: Architecture, allow: Collection[str] = ()) -> nn.Module:
    """A new module, whose weights still have to be loaded. The global generator is left as it was.

    Args:
        architecture: From the manifest.
        allow: Top-level packages whose factories may be called.

    Raises:
        CheckpointError: If it is unknown, not allowed, not installed, or cannot be built.
    """
    factory = _SOURCES[architecture.source](architecture.name, allow)
    with torch.random.fork_rng(devices=[]):
        return _built(factory, architecture)


def build_outline(architecture: Architecture) -> nn.Module | None:
    """The same module on the meta device, which takes no memory however large its arguments say that it is.

    Returns:
        None for a factory: code of others may not know the meta device.

    Raises:
        CheckpointError: As `build`.
    """
    if architecture.source not in OUTLINED:
        return None
    with torch.device("meta"):
        return build(architecture)


def _built(factory: Callable[..., object], architecture: Architecture) -> nn.Module:
    try:
        module = factory(**architecture.arguments)
    except CheckpointError:
        raise
    except Exception as error:  # whatever a model's own code raises, the checkpoint is at fault
        reason = f"it raised {type(error).__name__}: {error}"
        raise CheckpointError(f"{_title(architecture)} cannot be built; {reason}") from error
    if not isinstance(module, nn.Module):
        came = type(module).__name__
        raise CheckpointError(f"{_title(architecture)} must make a torch.nn.Module, got {came}")
    return module


def _title(architecture: Architecture) -> str:
    return f"the architecture {architecture.source} {architecture.name!r}"


def _from_zoo(name: str, allow: Collection[str]) -> Callable[..., object]:  # noqa: ARG001 - all sources alike
    if name not in zoo.names():
        known = ", ".join(zoo.names())
        raise CheckpointError(
            f"the architecture {name!r} is not in the zoo, which has: {known}; "
            "a function of your own is named package.module:function"
        )
    return partial(zoo.create, name)


def _from_factory(name: str, allow: Collection[str]) -> Callable[..., object]:
    check_factory_name(name)
    module_name, _, function_name = name.partition(":")
    _check_allowed(module_name, allow, todo=_how_to_allow(_package(module_name)))
    try:
        found = getattr(import_module(module_name), function_name)
    except Exception as error:  # the module is foreign code, and may raise anything
        raise CheckpointError(f"the factory {name!r} cannot be imported: {error}") from error
    function = _callable(found, name)
    home = getattr(function, "__module__", None) or "builtins"
    _check_allowed(home, allow, todo=f"{name!r} was only imported there")
    return function


def check_factory_name(name: str) -> None:
    """Refuse what cannot be the name of a factory.

    Raises:
        CheckpointError: If it is not `package.module:function`.
    """
    if not _FACTORY.fullmatch(str(name)):  # people hand in the function itself
        raise CheckpointError(f"a factory must be named package.module:function, got {name!r}")


def _check_allowed(module_name: str, allow: Collection[str], *, todo: str) -> None:
    if _package(module_name) not in allow:
        allowed = ", ".join(sorted(allow)) or "none"
        package = _package(module_name)
        raise CheckpointError(f"the code of package {package!r} is not allowed (allowed: {allowed}); {todo}")


def _how_to_allow(package: str) -> str:
    return f"if you trust it, say --allow-package {package}, or allow=[{package!r}] in Python"


def _package(module_name: str) -> str:
    return module_name.partition(".")[0]


def _callable(function: Any, name: str) -> Callable[..., object]:
    if not callable(function):
        raise CheckpointError(f"the factory {name!r} must be callable, got {type(function).__name__}")
    checked: Callable[..., object] = function
    return checked


def _from_huggingface(name: str, allow: Collection[str]) -> Callable[..., object]:  # noqa: ARG001
    return huggingface_factory(name)


def _from_timm(name: str, allow: Collection[str]) -> Callable[..., object]:  # noqa: ARG001
    return timm_factory(name)


_SOURCES: Final[dict[str, Callable[[str, Collection[str]], Callable[..., object]]]] = {
    "zoo": _from_zoo,
    "factory": _from_factory,
    "huggingface": _from_huggingface,
    "timm": _from_timm,
}
