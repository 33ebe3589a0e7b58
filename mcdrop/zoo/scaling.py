"""Scaling as part of the network: buffers that travel with the weights."""

from typing import Self

import torch
from torch import Tensor, nn

__all__ = ["Standardise"]


class Standardise(nn.Module):
    """To mean 0 and standard deviation 1, and back.

    Args:
        shape: Of what has its own mean: () for one number in all, (D,) for each column.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, shape: tuple[int, ...] = ()) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("std", torch.ones(shape))

    def fit(self, values: Tensor) -> Self:
        """Takes mean and standard deviation from data.

        Args:
            values: (..., *shape). What is constant is only shifted.
        """
        rows = values.reshape(-1, *self.mean.shape)
        self.mean.copy_(rows.mean(0))
        spread = rows.std(0, correction=0)
        self.std.copy_(torch.where(spread > 0, spread, 1))
        return self

    def forward(self, values: Tensor) -> Tensor:
        """From the data's own units; the same shape."""
        return (values - self.mean) / self.std

    def inverse(self, values: Tensor) -> Tensor:
        """Back to the data's own units; the same shape."""
        return values * self.std + self.mean
