"""DropBlock: whole blocks of a feature map are dropped, since neighbours tell what a single element was.

Blocks lie within the map, so elements near its border are dropped less often. The paper's rate of seeds
neglects that blocks overlap, and its scaling by the kept share of the batch makes rows depend on each other.
Here the rate is solved for, and each element is divided by its own probability of being kept: the dropped
share and the mean of every element are exact.

Alphabet: (N, C, L), (N, C, H, W), (N, C, D, H, W).

Source: Ghiasi, Lin and Le 2018, "DropBlock: a regularization method for convolutional networks",
arXiv:1810.12890.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Final

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.errors import DomainError, ShapeError
from mcdrop.nn.rate import checked_rate

__all__ = ["DropBlock1d", "DropBlock2d", "DropBlock3d", "seed_rate"]

_POOLS: Final[dict[int, Callable[..., Tensor]]] = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}


class _DropBlock(nn.Module):
    """Blocks over as many axes as `axes` says."""

    axes: int

    def __init__(self, p: float = 0.1, block_size: int = 7) -> None:
        super().__init__()
        self.p = checked_rate(p)
        if block_size < 1 or int(block_size) != block_size:
            raise DomainError(f"block_size must be an integer of at least 1, got {block_size!r}")
        self.block_size = block_size

    def forward(self, x: Tensor) -> Tensor:
        """The shape of x: rows, channels and the axes of the map.

        Raises:
            ShapeError: If x has another number of axes.
        """
        if x.dim() != self.axes + 2:
            raise ShapeError(f"x must be (N, C) and {self.axes} more axes, got shape {tuple(x.shape)}")
        if not self.training or self.p == 0:
            return x
        sizes = tuple(x.shape[2:])
        blocks = tuple(min(self.block_size, size) for size in sizes)
        solved = seed_rate if torch.compiler.is_compiling() else _known_seed_rate
        rate = solved(self.p, sizes, blocks)
        places = [size - block + 1 for size, block in zip(sizes, blocks, strict=True)]
        seeds = (torch.rand(*x.shape[:2], *places, device=x.device) < rate).to(x.dtype)
        return x * (1 - _grown(seeds, blocks)) / _kept(rate, sizes, blocks).to(x)

    def extra_repr(self) -> str:
        """The arguments."""
        return f"p={self.p}, block_size={self.block_size}"


class DropBlock1d(_DropBlock):
    """Drops blocks of every channel of (N, C, L).

    Args:
        p: Share of the elements that is dropped, in [0, 1).
        block_size: Edge of a block; where the map is smaller, the map's edge.

    Raises:
        DomainError: If p or the size of the blocks lies outside its range.

    Source:
        Ghiasi, Lin and Le 2018, arXiv:1810.12890; what differs is at the top of this file.
    """

    axes = 1


class DropBlock2d(_DropBlock):
    """Drops blocks of every channel of (N, C, H, W).

    Args:
        p: Share of the elements that is dropped, in [0, 1).
        block_size: Edge of a block; where the map is smaller, the map's edge.

    Raises:
        DomainError: If p or the size of the blocks lies outside its range.

    Source:
        Ghiasi, Lin and Le 2018, arXiv:1810.12890; what differs is at the top of this file.
    """

    axes = 2


class DropBlock3d(_DropBlock):
    """Drops blocks of every channel of (N, C, D, H, W).

    Args:
        p: Share of the elements that is dropped, in [0, 1).
        block_size: Edge of a block; where the map is smaller, the map's edge.

    Raises:
        DomainError: If p or the size of the blocks lies outside its range.

    Source:
        Ghiasi, Lin and Le 2018, arXiv:1810.12890; what differs is at the top of this file.
    """

    axes = 3


def _grown(seeds: Tensor, blocks: Sequence[int]) -> Tensor:
    """Every seed, the first corner of its block, grown to the block."""
    margins = [margin for block in reversed(blocks) for margin in (block - 1, block - 1)]
    return _POOLS[len(blocks)](F.pad(seeds, margins), tuple(blocks), 1)


def seed_rate(p: float, sizes: tuple[int, ...], blocks: tuple[int, ...]) -> float:
    """Probability of a seed at each place where a block fits, such that a share p of the map is dropped.

    An element that lies in n possible blocks is kept with probability (1 - rate)^n. The mean over the map is
    found by bisection, to the last bit.

    Args:
        p: The share, in [0, 1).
        sizes: Of the map, by axis.
        blocks: Of a block, by axis, none larger than the map.
    """
    counts = _counts(sizes, blocks)
    low, high = 0.0, 1.0
    for _ in range(60):
        rate = (low + high) / 2
        dropped = 1 - sum(times * (1 - rate) ** n for n, times in counts.items()) / math.prod(sizes)
        low, high = (rate, high) if dropped < p else (low, rate)
    return high


_known_seed_rate: Final = cache(seed_rate)
"""The same, solved once; the compiler has no use for it, and warns of caches."""


def _counts(sizes: Sequence[int], blocks: Sequence[int]) -> dict[int, int]:
    """How many elements lie in how many of the possible blocks."""
    counts = {1: 1}
    for axis in map(_along, sizes, blocks):
        wider: dict[int, int] = {}
        for n, times in counts.items():
            for along in axis:
                wider[n * along] = wider.get(n * along, 0) + times
        counts = wider
    return counts


def _along(size: int, block: int) -> list[int]:
    """In how many of the possible blocks each element of an axis lies."""
    limit = min(block, size - block + 1)
    return [min(place + 1, size - place, limit) for place in range(size)]


def _covering(sizes: Sequence[int], blocks: Sequence[int]) -> Tensor:
    """In how many of the possible blocks each element lies."""
    count = torch.ones((), dtype=torch.long)
    for axis in map(_along, sizes, blocks):
        count = count.unsqueeze(-1) * torch.tensor(axis)
    return count


def _kept(rate: float, sizes: Sequence[int], blocks: Sequence[int]) -> Tensor:
    """Probability that each element is kept."""
    return (1 - rate) ** _covering(sizes, blocks).to(torch.float64)
