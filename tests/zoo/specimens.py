"""A specimen: one architecture of another library, small and with random weights, and inputs for it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

__all__ = ["ROWS", "Inputs", "Specimen", "as_it_is", "built", "first_tensor"]

ROWS: Final = 3
_FAINT: Final = 1e-3

Inputs = dict[str, Tensor]


def as_it_is(_: nn.Module) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Specimen:
    """One architecture.

    Attributes:
        library: Where it is from.
        name: Of the architecture, and of what was chosen about it.
        factory: Makes the model, small, with its dropout on.
        inputs: Makes inputs of `ROWS` rows, by the names that `forward` gives them.
        brute_force: Switches off in a model in train mode what is no part of its prediction.
    """

    library: str
    name: str
    factory: Callable[[], nn.Module]
    inputs: Callable[[], Inputs]
    brute_force: Callable[[nn.Module], None] = as_it_is


def built(specimen: Specimen) -> tuple[nn.Module, Inputs]:
    """The model in eval mode with random weights, and its inputs; the same each time."""
    torch.manual_seed(0)
    model = specimen.factory().eval()
    _stir(model)
    return model, specimen.inputs()


def _stir(model: nn.Module) -> None:
    """Give weight to what starts at zero (last layers, layer scales), behind which nothing would move."""
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.numel() and parameter.abs().max() < _FAINT:
                parameter.add_(torch.randn_like(parameter), alpha=0.1)


def first_tensor(output: Any) -> Tensor:
    """What a model mainly returns: its first tensor of floating point numbers."""
    leaves = pytree.tree_leaves(output)
    return next(t for t in leaves if isinstance(t, Tensor) and t.is_floating_point())
