"""Concrete dropout: a dropout layer that learns its own rate."""

import math
from typing import Final

import torch
from torch import Tensor, nn

from mcdrop.errors import DomainError, InputError
from mcdrop.nn.rate import checked_rate

__all__ = ["ConcreteDropout", "concrete_regulariser"]

_KINDS: Final = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)


class ConcreteDropout(nn.Module):
    """Dropout of the inputs of a layer, at a rate that is learned along with the weights.

    With gradients the mask is relaxed, so that the rate has a gradient; without them (`torch.no_grad`, and
    under `MCDropout`) the same draw decides a real dropout mask at the learned rate. Add
    `concrete_regulariser` to the loss: without it the rate falls to 0.

    Args:
        layer: `nn.Linear`, or `nn.Conv1d/2d/3d`, of which whole channels are dropped.
        p: The rate to start from, in (0, 1).
        temperature: Of the relaxation; the smaller, the nearer to 0 and 1 the mask.

    Raises:
        InputError: If the layer is of another kind.
        DomainError: If a number lies outside its range.

    Source:
        Gal, Hron and Kendall 2017, "Concrete dropout", arXiv:1705.07832, eq. 5.
    """

    def __init__(self, layer: nn.Module, p: float = 0.1, *, temperature: float = 0.1) -> None:
        super().__init__()
        if not isinstance(layer, _KINDS):
            names = ", ".join(f"nn.{kind.__name__}" for kind in _KINDS)
            raise InputError(f"ConcreteDropout wraps {names}, got {type(layer).__name__}")
        if checked_rate(p) == 0 or not temperature > 0:
            raise DomainError(f"p and temperature must be above 0, got p={p}, temperature={temperature}")
        self.layer = layer
        self.temperature = temperature
        self.p_logit = nn.Parameter(torch.tensor(math.log(p / (1 - p))))

    @property
    def p(self) -> float:
        """The rate as learned so far."""
        return float(self.p_logit.detach().sigmoid())

    def forward(self, x: Tensor) -> Tensor:
        """What `layer` takes and returns."""
        out: Tensor = self.layer(x * self._noise(x) if self.training else x)
        return out

    def _noise(self, x: Tensor) -> Tensor:
        """A mask divided by its probability of one."""
        axes = self.layer.weight.dim() - 2  # of a map, whole channels of which are dropped; of a row, none
        shape = (*x.shape[: x.dim() - axes], *[1] * axes)
        uniform = torch.rand(shape, device=x.device).clamp(1e-7, 1 - 1e-7)  # the logarithms stay finite
        precise = torch.promote_types(x.dtype, uniform.dtype)  # half precision is too coarse for a rate
        uniform, logit = uniform.to(precise), self.p_logit.to(precise)
        dropped = ((logit + uniform.logit()) / self.temperature).sigmoid()
        if not torch.is_grad_enabled():
            dropped = (dropped > 0.5).to(dropped.dtype)
        return ((1 - dropped) / (1 - logit.sigmoid())).to(x.dtype)

    def regulariser(self, length_scale: float) -> Tensor:
        """(), nats: the divergence of the approximate posterior from the prior, up to a constant.

        For a layer with weights W and K inputs it is l^2 ||W||^2 / (2 (1 - p)) - K H(p), where l is the
        length scale and H(p) the entropy of the mask. (The paper does not scale masks: its M is W / (1 - p).)
        """
        keep = 1 - self.p_logit.sigmoid()
        weight: Tensor = self.layer.weight
        entropy = nn.functional.binary_cross_entropy_with_logits(self.p_logit, self.p_logit.sigmoid())
        return length_scale**2 * weight.square().sum() / (2 * keep) - weight.shape[1] * entropy

    def extra_repr(self) -> str:
        """The rate as learned so far."""
        return f"p={self.p:.4g}, temperature={self.temperature}"


def concrete_regulariser(model: nn.Module, *, n_rows: int, length_scale: float = 1e-2) -> Tensor:
    """(), nats per row: what to add to the mean negative log-likelihood of a model with `ConcreteDropout`.

    Args:
        model: Of which every `ConcreteDropout` counts.
        n_rows: N, how many rows are trained on; with more of them the prior matters less.
        length_scale: l of the prior on the weights, above 0; the larger, the smaller the weights it expects.

    Raises:
        InputError: If the model has no `ConcreteDropout`.
        DomainError: If a number lies outside its range.

    Source:
        Gal, Hron and Kendall 2017, eqs. 1 to 4.
    """
    if n_rows < 1 or not length_scale > 0:
        raise DomainError(f"n_rows must be at least 1 and length_scale above 0, got {n_rows}, {length_scale}")
    layers = [module for module in model.modules() if isinstance(module, ConcreteDropout)]
    if not layers:
        raise InputError(f"{type(model).__name__} has no ConcreteDropout to regularise")
    total: Tensor = torch.stack([layer.regulariser(length_scale) for layer in layers]).sum()
    return total / n_rows
