"""Dropout over time: one mask for all time steps of a sequence.

Alphabet: (T, N, F) or, batch first, (N, T, F).
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.errors import InputError, ShapeError
from mcdrop.nn.rate import checked_rate

__all__ = ["VariationalDropout", "feature_mask"]


class VariationalDropout(nn.Module):
    """Drops features of a sequence for its whole length.

    A mask that changes at every step is averaged out by a recurrent layer, and wipes out its memory. Where
    features come before time, (N, F, T), `torch.nn.Dropout1d` does the same.

    Args:
        p: Probability that a feature is dropped, in [0, 1).
        batch_first: Whether sequences are (N, T, F) and not (T, N, F).

    Raises:
        DomainError: If p lies outside its range.

    Source:
        Gal and Ghahramani 2016, "A theoretically grounded application of dropout in recurrent neural
        networks", arXiv:1512.05287; the "locked dropout" of AWD-LSTM.
    """

    def __init__(self, p: float = 0.5, *, batch_first: bool = False) -> None:
        super().__init__()
        self.p = checked_rate(p)
        self.batch_first = batch_first

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x, three axes.

        Raises:
            InputError: If x is packed.
            ShapeError: If x is not three-dimensional.
        """
        if not isinstance(x, Tensor):
            raise InputError(f"x must be a tensor, got {type(x).__name__}; pad packed sequences first")
        if x.dim() != 3:
            wanted = "(N, T, F)" if self.batch_first else "(T, N, F)"
            raise ShapeError(f"x must be {wanted}, got shape {tuple(x.shape)}")
        if not self.training or self.p == 0:
            return x
        rows, time = (0, 1) if self.batch_first else (1, 0)
        return x * feature_mask(x, x.shape[rows], x.shape[2], self.p).unsqueeze(time)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, batch_first={self.batch_first}"


def feature_mask(like: Tensor, rows: int, features: int, p: float) -> Tensor:
    """(N, F): zeros with probability p, and 1 / (1 - p) elsewhere."""
    return F.dropout(torch.ones(rows, features, dtype=like.dtype, device=like.device), p, training=True)
