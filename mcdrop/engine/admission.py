"""Models that cannot be looked into, refused by name before anything runs."""

from collections.abc import Iterator
from typing import Final

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from mcdrop.errors import UnsupportedModelError
from mcdrop.nn.dropconnect import tied_weights

__all__ = ["check_admissible"]

_CLOSED: Final = {
    "keras": "is a Keras layer, which takes `training` as an argument of each call and not from the module, "
    "so its dropout cannot be switched on from outside; export the network to PyTorch modules",
    "torch.distributed.fsdp": "is sharded by FSDP, whose modules cannot be copied; gather the model first",
}


def check_admissible(model: nn.Module) -> None:
    """Refuse what no private view can be made of.

    Raises:
        UnsupportedModelError: If a part of the model is TorchScript, Keras, FSDP2 or not initialised yet, or
            drops weights that another part uses whole.
    """
    for path, module in model.named_modules():
        for reason in _reasons(module):
            raise UnsupportedModelError(f"{path or 'the model'} ({type(module).__name__}) {reason}")
    for reason in tied_weights(model):
        raise UnsupportedModelError(reason)


def _reasons(module: nn.Module) -> Iterator[str]:
    if isinstance(module, torch.jit.ScriptModule):
        yield (
            "is TorchScript, whose random calls cannot be seen from Python; "
            "sample the module that it was scripted or traced from"
        )
    if any(is_lazy(parameter) for parameter in module.parameters(recurse=False)):
        yield "has lazy parameters that have no shape yet; run the model once on a batch first"
    if any(type(p).__module__.startswith("torch.distributed.") for p in module.parameters(recurse=False)):
        yield "has parameters that are spread over processes (DTensor); gather the model first"
    for ancestor in type(module).__mro__:
        yield from (why for package, why in _CLOSED.items() if _is_from(ancestor, package))


def _is_from(kind: type, package: str) -> bool:
    return kind.__module__ == package or kind.__module__.startswith(package + ".")
