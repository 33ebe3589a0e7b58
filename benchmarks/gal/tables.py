"""The tables of Gal and Ghahramani's experiment: read, split as published, standardised.

Alphabet: K networks (one for each split), N rows, Q columns.
"""

import lzma
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

__all__ = ["Rows", "Scaling", "read_table", "row_of", "rows_of", "scaling_of", "splits"]


class Rows(NamedTuple):
    """The same rows for a stack of K networks, each with its own choice of them.

    Attributes:
        x: (K, N, Q).
        y: (K, N).
    """

    x: Tensor
    y: Tensor


class Scaling(NamedTuple):
    """Means and standard deviations over the training rows of each split: x (K, 1, Q), y (K, 1)."""

    x_mean: Tensor
    x_std: Tensor
    y_mean: Tensor
    y_std: Tensor


def read_table(directory: Path, name: str) -> Tensor:
    """(N, Q + 1) float64, the target last."""
    packed, plain = directory / f"{name}.txt.xz", directory / f"{name}.txt"
    if not packed.exists() and not plain.exists():
        sys.exit(f"there is neither {plain} nor {packed}; --data names the directory that holds the tables")
    with lzma.open(packed, "rt") if packed.exists() else plain.open() as file:
        return torch.from_numpy(np.loadtxt(file))


def splits(rows: int, count: int) -> list[tuple[Tensor, Tensor]]:
    """Training and test rows of each split, as the published index files have them."""
    random = np.random.RandomState(1)  # the old generator that made the published splits
    orders = [torch.from_numpy(random.choice(range(rows), rows, replace=False)) for _ in range(count)]
    cut = round(0.9 * rows)
    return [(order[:cut], order[cut:]) for order in orders]


def rows_of(table: Tensor, index: Sequence[Tensor]) -> Rows:
    """Each network's rows."""
    picked = torch.stack([table[each] for each in index])
    return Rows(picked[..., :-1], picked[..., -1])


def row_of(rows: Rows, index: int) -> Rows:
    """The rows of one network."""
    return Rows(rows.x[index], rows.y[index])


def scaling_of(train: Rows) -> Scaling:
    """Standard deviations have ddof 0; a constant column keeps its unit."""
    x_std = train.x.std(1, correction=0, keepdim=True)
    y_std = train.y.std(1, correction=0, keepdim=True)
    return Scaling(
        train.x.mean(1, keepdim=True),
        torch.where(x_std == 0, 1.0, x_std),
        train.y.mean(1, keepdim=True),
        torch.where(y_std == 0, 1.0, y_std),
    )
