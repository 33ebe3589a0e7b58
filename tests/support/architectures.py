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
