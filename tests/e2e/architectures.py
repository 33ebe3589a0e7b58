"""Architectures that only the tests serve, by `--allow-package tests`."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["Pair", "SharedWeights", "Tokens", "pair", "plain", "shared_weights", "tokens"]

LONGEST = 12


class SharedWeights(nn.Module):
    """Dropout on a weight: a site with no row axis, so that a batch can hold one seed and block only."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(6, 24)
        self.outer = nn.Linear(24, 3)
        self.dropout = nn.Dropout(0.3)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3) logits."""
        weight = F.dropout(self.inner.weight, 0.3, training=self.training)
        hidden = torch.relu(F.linear(x, weight, self.inner.bias))
        out: Tensor = self.outer(self.dropout(hidden))
        return out


class Tokens(nn.Module):
    """Sequences of any length up to `LONGEST`; a token that it does not know makes it fail."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(50, 16)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(16, 1)

    def forward(self, tokens: Tensor) -> Tensor:
        """(N, T) -> (N, 1)."""
        if tokens.shape[1] > LONGEST:
            raise ValueError("secret of the model")
        out: Tensor = self.head(self.dropout(torch.tanh(self.embedding(tokens))).mean(1))
        return out


class Pair(nn.Module):
    """Two inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 16), nn.Dropout(0.5), nn.Linear(16, 1))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        """(N, 2), (N, 2) -> (N, 1)."""
        out: Tensor = self.layers(torch.cat([first, 10 * second], 1))
        return out


def pair() -> nn.Module:
    """A factory."""
    return Pair()


def shared_weights() -> nn.Module:
    """A factory."""
    return SharedWeights()


def tokens() -> nn.Module:
    """A factory."""
    return Tokens()


def plain() -> nn.Module:
    """A factory of a model in which every site has a row axis."""
    return nn.Sequential(nn.Linear(5, 32), nn.Dropout(0.5), nn.Linear(32, 2))
