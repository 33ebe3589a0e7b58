"""Models of a user's own package, for checkpoints that name a factory."""

from typing import Final

import torch
from torch import Tensor, nn

ALLOWED: Final = "tests"


class Tied(nn.Module):
    """An output layer that shares its weight with the input layer, as language models do."""

    def __init__(self, width: int = 3) -> None:
        super().__init__()
        self.first = nn.Linear(width, width)
        self.dropout = nn.Dropout(0.5)
        self.last = nn.Linear(width, width)
        self.last.weight = self.first.weight
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.register_buffer("scratch", torch.ones(width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The last layer of the first layer's dropped-out outputs."""
        scores: Tensor = self.last(self.dropout(self.first(x)))
        return scores


def tied(width: int = 3) -> nn.Module:
    """A module, as a factory makes it."""
    return Tied(width)


def not_a_module() -> str:
    """Something else, as a wrong factory makes it."""
    return "a text"


def exploding() -> nn.Module:
    """Nothing, since its code is broken."""
    raise KeyError("no such layer")


a_number: Final = 7


class TwoInputs(nn.Module):
    """Takes one table beside another."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(3, 8), nn.Linear(2, 8)
        self.last = nn.Sequential(nn.ReLU(), nn.Dropout(0.3), nn.Linear(8, 3))

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        """Scores of three classes."""
        scores: Tensor = self.last(self.first(left) + self.second(right))
        return scores


def two_inputs() -> nn.Module:
    """A module, as a factory makes it."""
    return TwoInputs()
