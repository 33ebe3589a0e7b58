"""Stacks of small networks with dropout that train side by side, and sample one by one.

Alphabet: K networks, N rows, Q columns, S samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

import torch
from torch import Tensor, nn

import mcdrop
from benchmarks.gal.tables import Rows, Scaling, scaling_of

__all__ = ["Recipe", "Stack", "epoch", "fitted_stack", "initial_weights", "network", "outputs", "train"]

_BATCH: Final = 128
_LENGTH_SCALE: Final = 1e-2


class Recipe(NamedTuple):
    """How a stack is trained.

    Attributes:
        p: (K,) rate of each network.
        tau: (K,) noise precision, which sets the weight decay.
        hidden: Units.
        epochs: How often each row is seen.
    """

    p: Tensor
    tau: Tensor
    hidden: int
    epochs: int


def outputs(weights: Sequence[Tensor], x: Tensor, hidden_mask: Tensor) -> Tensor:
    """(N,) of one network, from inputs (N, Q) that are masked already."""
    first, first_bias, second, second_bias = weights
    return ((x @ first + first_bias).relu() * hidden_mask) @ second + second_bias


def initial_weights(networks: int, columns: int, hidden: int, generator: torch.Generator) -> list[Tensor]:
    """Glorot's uniform weights and biases of zero, stacked."""
    shapes = ((columns, hidden), (hidden,), (hidden,), ())
    bounds = (math.sqrt(6 / (columns + hidden)), 0.0, math.sqrt(6 / (hidden + 1)), 0.0)
    return [
        ((2 * torch.rand(networks, *shape, generator=generator) - 1) * bound).requires_grad_()
        for shape, bound in zip(shapes, bounds, strict=True)
    ]


def train(rows: Rows, recipe: Recipe, seed: int) -> list[Tensor]:
    """A stack of networks, trained side by side.

    Args:
        rows: Standardised.
        recipe: How.
        seed: Of weights, orders and masks.
    """
    networks, count, columns = rows.x.shape
    generator = torch.Generator().manual_seed(seed)
    weights = initial_weights(networks, columns, recipe.hidden, generator)
    decay = _LENGTH_SCALE**2 * (1 - recipe.p) / (2 * count * recipe.tau)
    adam = torch.optim.Adam(weights, fused=True)
    stack = torch.func.vmap(outputs)
    for _ in range(recipe.epochs):
        x, y, masks = epoch(rows, recipe.p, recipe.hidden, generator)
        for start in range(0, count, _BATCH):
            part = slice(start, start + _BATCH)
            error = stack(weights, x[:, part], masks[:, part]) - y[:, part]
            penalty = decay * (weights[0].square().sum((1, 2)) + weights[2].square().sum(1))
            adam.zero_grad()
            (error.square().mean(1) + penalty).sum().backward()
            adam.step()
    return [each.detach() for each in weights]


def epoch(rows: Rows, p: Tensor, hidden: int, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Rows in a new order, the inputs masked, and the masks of the hidden units (K, N, hidden)."""
    networks, count, columns = rows.x.shape
    order = torch.rand(networks, count, generator=generator).argsort(1)
    keep = 1 - p[:, None, None]
    uniform = torch.rand(networks, count, columns + hidden, generator=generator)
    masks = (uniform < keep) / keep
    x = rows.x.gather(1, order.unsqueeze(2).expand(-1, -1, columns))
    return x * masks[..., :columns], rows.y.gather(1, order), masks[..., columns:]


def network(weights: Sequence[Tensor], index: int, p: float) -> nn.Module:
    """One network of the stack as a module that any user could have."""
    first, first_bias, second, second_bias = (each[index] for each in weights)
    inner, outer = nn.Linear(*first.shape), nn.Linear(len(second), 1)
    with torch.no_grad():
        inner.weight.copy_(first.T), inner.bias.copy_(first_bias)
        outer.weight.copy_(second.unsqueeze(0)), outer.bias.copy_(second_bias.reshape(1))
    return nn.Sequential(nn.Dropout(p), inner, nn.ReLU(), nn.Dropout(p), outer)


@dataclass(frozen=True)
class Stack:
    """Trained networks with the scaling of their rows."""

    weights: list[Tensor]
    scaling: Scaling
    p: Tensor

    def samples(self, index: int, x: Tensor, n_samples: int) -> Tensor:
        """(S, N) float64 of one network, in units of the target."""
        inputs = ((x - self.scaling.x_mean[index]) / self.scaling.x_std[index]).float()
        mc = mcdrop.MCDropout(
            network(self.weights, index, self.p[index].item()), task="regression", seed=index
        )
        drawn: Tensor = mc.sample(inputs, n_samples=n_samples)
        return drawn.squeeze(2).double() * self.scaling.y_std[index] + self.scaling.y_mean[index]


def fitted_stack(rows: Rows, recipe: Recipe, seed: int) -> Stack:
    """Networks trained on these rows."""
    scale = scaling_of(rows)
    standard = Rows(
        ((rows.x - scale.x_mean) / scale.x_std).float(), ((rows.y - scale.y_mean) / scale.y_std).float()
    )
    return Stack(train(standard, recipe, seed), scale, recipe.p)
