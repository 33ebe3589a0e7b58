"""Models that cannot be looked into, refused by name before anything runs."""

from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from mcdrop.errors import InputError, UnsupportedModelError
from mcdrop.nn.dropconnect import check_untied

__all__ = ["check_admissible", "check_module", "closed_parts"]

_CLOSED: Final = {
    "keras": "is a Keras layer, which takes `training` as an argument of each call and not from the module, "
    "so its dropout cannot be switched on from outside; export the network to PyTorch modules",
    "torch.distributed.fsdp": "is sharded by FSDP, whose modules cannot be copied; gather the model first",
}


def check_admissible(model: nn.Module) -> None:
    """Refuse what no private view can be made of.

    Raises:
        InputError: If it is no module.
        UnsupportedModelError: If a part of the model is TorchScript, Keras, FSDP2 or not initialised yet, or
            drops weights that another part uses whole.
    """
    check_module(model)
    for path, reason in closed_parts(model):
        kind = type(dict(model.named_modules())[path]).__name__  # get_submodule is none of a ScriptModule
        raise UnsupportedModelError(f"{path or 'the model'} ({kind}) {reason}")
    check_untied(model)


def check_module(model: object) -> None:
    """Refuse what is no module.

    Raises:
        InputError: If it is not; says where a wrapper holds one.
    """
    if not isinstance(model, nn.Module):
        held = "; pass its .model" if isinstance(getattr(model, "model", None), nn.Module) else ""
        raise InputError(f"model must be a torch.nn.Module, got {type(model).__name__}{held}")


def closed_parts(model: nn.Module) -> Iterator[tuple[str, str]]:
    """Paths of the parts that cannot be looked into, the outermost first, and why."""
    for path, module in model.named_modules():
        yield from ((path, reason) for reason in _reasons(module))


def _reasons(module: nn.Module) -> Iterator[str]:
    if isinstance(module, torch.jit.ScriptModule):
        yield (
            "is TorchScript, whose random calls cannot be seen from Python; "
            "sample the module that it was scripted or traced from"
        )
    if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
        yield "has lazy parameters that have no shape yet; run the model once on a batch first"
    if any(tensor.is_meta for tensor in (*module.parameters(recurse=False), *module.buffers(recurse=False))):
        yield "has tensors on the meta device, which hold no numbers; load its weights first"
    if any(type(p).__module__.startswith("torch.distributed.") for p in module.parameters(recurse=False)):
        yield "has parameters that are spread over processes (DTensor); gather the model first"
    for ancestor in type(module).__mro__:
        yield from (why for package, why in _CLOSED.items() if _is_from(ancestor, package))


def _is_from(kind: type, package: str) -> bool:
    return kind.__module__ == package or kind.__module__.startswith(package + ".")
