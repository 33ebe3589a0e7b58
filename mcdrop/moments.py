"""Mean, variance and Monte Carlo error of samples that come in blocks of 16.

One algorithm, whether the samples are kept or not. Each block gives a float64 mean and a centred sum of
squares; blocks are merged in index order. Sums over samples are additions of halves, which IEEE 754 rounds
exactly, so a row's moments do not depend on its place in a tensor (a reduction of torch may add in another
order at the end of a tensor).

Several quantities of the same samples can stand side by side: their numbers are added up together. Where all
are few and on the CPU they are arrays of NumPy, whose calls take a third of the time; additions, products and
quotients have the same bits. Roots do not: they are always torch's.

Alphabet: s samples of one block, S samples in B blocks, N rows, K numbers of a row in all quantities.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

__all__ = ["BlockMoments", "Moments", "RunningMoments", "block_moments", "merge"]

_BLOCK: Final = 16
_STRATA_FACTOR: Final = 16 / 15
"""A mean of 16 stratified draws has at most this times the variance of independent ones (Owen 1997)."""
_FEW_BLOCKS: Final = 8
_FEW_NUMBERS: Final = 2**14
"""So many at a time are arrays of NumPy."""
_MOST_GROUPS: Final = 32

_Numbers = Any
"""A tensor or an array, with what the two have in common."""


@dataclass(frozen=True)
class Moments:
    """Moments of `count` samples.

    Attributes:
        count: How many.
        mean: (N, ...) float64.
        m2: (N, ...) float64, the sum of squared deviations from the mean.
    """

    count: int
    mean: _Numbers
    m2: _Numbers

    @property
    def variance(self) -> _Numbers:
        """(N, ...) with ddof = 1; 0 for a single sample."""
        return self.m2 / max(self.count - 1, 1)


@dataclass(frozen=True)
class BlockMoments:
    """Moments of some blocks, of one quantity or several.

    Attributes:
        counts: B numbers of samples; all blocks are whole but perhaps the last.
        mean: (B, N, K) float64.
        m2: (B, N, K) float64, the sums of squared deviations from the mean.
        shapes: Of a row in each quantity.
    """

    counts: tuple[int, ...]
    mean: _Numbers
    m2: _Numbers
    shapes: tuple[torch.Size, ...]

    def __len__(self) -> int:
        """B."""
        return len(self.counts)

    def each(self) -> list[Moments]:
        """(N, ...) of each block, of the first quantity, as tensors."""
        means, sums = ([_own(block, self.shapes) for block in blocks] for blocks in (self.mean, self.m2))
        return list(map(Moments, self.counts, means, sums))

    def head(self, blocks: int) -> "BlockMoments":
        """Of the first blocks."""
        return BlockMoments(self.counts[:blocks], self.mean[:blocks], self.m2[:blocks], self.shapes)

    def take(self, rows: Tensor | slice) -> "BlockMoments":
        """Of some of the rows."""
        if isinstance(rows, Tensor):
            where: Any = rows.to(self.mean.device) if isinstance(self.mean, Tensor) else rows.cpu().numpy()
        else:
            where = rows
        return BlockMoments(self.counts, self.mean[:, where], self.m2[:, where], self.shapes)

    @staticmethod
    def chain(parts: "Sequence[BlockMoments]") -> "BlockMoments":
        """Of the blocks of all parts, one after the other; of the same rows."""
        return _joined_moments(parts, 0, tuple(count for part in parts for count in part.counts))

    @staticmethod
    def join(parts: "Sequence[BlockMoments]") -> "BlockMoments":
        """Of the rows of all parts, one after the other; of the same blocks."""
        return _joined_moments(parts, 1, parts[0].counts)


def _joined_moments(parts: Sequence[BlockMoments], axis: int, counts: tuple[int, ...]) -> BlockMoments:
    """Side by side: tensors if one of the parts has them."""
    alike = torch.as_tensor if any(isinstance(part.mean, Tensor) for part in parts) else np.asarray
    means, sums = [alike(part.mean) for part in parts], [alike(part.m2) for part in parts]
    return BlockMoments(counts, _joined(means, axis), _joined(sums, axis), parts[0].shapes)


def block_moments(*samples: Tensor) -> BlockMoments:
    """Moments of every 16 samples, and of those that are left over.

    Args:
        *samples: (S, N, ...) of each quantity.
    """
    tables, at_once = _tables([values.double() for values in samples])
    with np.errstate(all="ignore"):
        parts = [_moments(blocks) for blocks in _blocks(tables, at_once)]
    counts, means, sums = zip(*parts, strict=True)
    shapes = tuple(values.shape[2:] for values in samples)
    return BlockMoments(tuple(chain(*counts)), _joined(means, 0), _joined(sums, 0), shapes)


def _tables(samples: Sequence[Tensor]) -> tuple[list[_Numbers], int]:
    """(S, N, K) each quantity, as arrays if its numbers are few; and how many blocks are taken at once."""
    first = samples[0]
    count, rows = first.shape[:2]
    at_once = _FEW_NUMBERS * count // (_BLOCK * max(sum(map(torch.numel, samples)), 1))
    if at_once and first.is_cpu and not first.requires_grad:
        return [values.numpy().reshape(count, rows, -1) for values in samples], at_once
    return [values.reshape(count, rows, -1) for values in samples], 1


def _blocks(tables: Sequence[_Numbers], at_once: int) -> Iterator[_Numbers]:
    """(s, b, N, K) at most so many blocks of one size, all quantities side by side."""
    samples = len(tables[0])
    whole = samples - samples % _BLOCK
    for start in (*range(0, whole, at_once * _BLOCK), *range(whole, samples, _BLOCK)):
        stop = min(start + at_once * _BLOCK, whole if start < whole else samples)
        numbers = _joined([table[start:stop] for table in tables], 2)
        yield numbers.reshape(-1, min(stop - start, _BLOCK), *numbers.shape[1:]).swapaxes(0, 1)


def _moments(blocks: _Numbers) -> tuple[tuple[int, ...], _Numbers, _Numbers]:
    """Counts (b), means and sums of squares (b, N, K) of (s, b, N, K)."""
    mean = _sum_of_samples(blocks) / len(blocks)
    deviations = blocks - mean
    return (len(blocks),) * len(mean), mean, _sum_of_samples(deviations * deviations)


def _sum_of_samples(blocks: _Numbers) -> _Numbers:
    """Sum of (s, ...) over s: the second half is added to the first until one is left."""
    while (count := len(blocks)) > 1:
        half = count // 2
        added = blocks[:half] + blocks[half : 2 * half]
        blocks = _joined([added, blocks[2 * half :]], 0) if count % 2 else added
    return blocks[0]


def _joined(parts: Sequence[_Numbers], axis: int) -> _Numbers:
    """Arrays or tensors side by side."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts), axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


def merge(first: Moments, second: Moments) -> Moments:
    """Moments of the samples of both.

    Source:
        Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
    """
    count = first.count + second.count
    gap = second.mean - first.mean
    mean = first.mean + gap * (second.count / count)
    m2 = first.m2 + second.m2 + gap * gap * (first.count * second.count / count)
    return Moments(count, mean, m2)


class RunningMoments:
    """Moments of all blocks and the Monte Carlo error of their mean, taken in as the blocks come.

    With fewer than 8 whole blocks of stratified samples the error is conservative: s / sqrt(S) * sqrt(16/15),
    and below one whole block s / sqrt(S). From 8 on it is estimated from the spread between blocks, over at
    most 32 groups of whole blocks; a partial block of r samples then adds (r/S)^2 * s^2/r * 16/15 to the
    squared error of the whole blocks' share. Independent samples give s / sqrt(S).

    Args:
        samples: S, how many there will be; the error groups whole blocks by it.
        stratified: Whether the samples of a block are stratified.

    Source:
        Owen 1997, "Monte Carlo variance of scrambled net quadrature"; batch means as in Glynn and Iglehart
        1990, "Simulation output analysis using standardized time series".
    """

    def __init__(self, samples: int, *, stratified: bool = True) -> None:
        self._samples = samples
        self._stratified = stratified
        self._sizes = _group_sizes(samples // _BLOCK) if stratified else []
        self._shapes: tuple[torch.Size, ...] = ()
        self._total: Moments | None = None
        self._group: Moments | None = None
        self._between: Moments | None = None

    @classmethod
    def of(cls, blocks: BlockMoments, *, stratified: bool = True) -> "RunningMoments":
        """Of all these blocks."""
        running = cls(sum(blocks.counts), stratified=stratified)
        running.add(blocks)
        return running

    def add(self, blocks: BlockMoments) -> None:
        """Take in the next blocks; all are whole but perhaps the last of all."""
        self._shapes = blocks.shapes
        with np.errstate(all="ignore"):
            for block in map(Moments, blocks.counts, blocks.mean, blocks.m2):
                self._total = block if self._total is None else merge(self._total, block)
                if self._sizes and block.count == _BLOCK:
                    self._add_to_group(block.mean)

    @property
    def quantities(self) -> int:
        """How many stand side by side."""
        return len(self._shapes)

    def total(self) -> Moments:
        """(N, ...) of all blocks so far, of the first quantity, as tensors; there must be one block."""
        total = self._known()
        return Moments(total.count, self._own(total.mean), self._own(total.m2))

    def mean(self, place: int = 0) -> Tensor:
        """(N, ...) float64, of one of the quantities."""
        return self._own(self._known().mean, place)

    def variance(self) -> Tensor:
        """(N, ...) float64, of the first quantity, with ddof = 1; 0 for a single sample."""
        return self._own(self._known().variance)

    def standard_error(self) -> Tensor:
        """(N, ...) float64, of the mean of the first quantity over all S samples, in its units.

        It is 0 where the samples are equal.
        """
        with np.errstate(all="ignore"):
            square = self._square_error(self._known())
        return self._own(square).sqrt()

    def _known(self) -> Moments:
        if self._total is None:
            raise RuntimeError("no block was added")
        return self._total

    def _own(self, numbers: _Numbers, place: int = 0) -> Tensor:
        return _own(numbers, self._shapes, place)

    def _square_error(self, total: Moments) -> _Numbers:
        whole = self._samples // _BLOCK
        factor = _STRATA_FACTOR if self._stratified and whole else 1.0
        if self._between is None:
            return total.variance * (factor / total.count)
        share = whole * _BLOCK / total.count
        rest = total.count - whole * _BLOCK
        partial = total.variance * (rest / total.count**2 * factor)
        groups = min(whole, _MOST_GROUPS)
        return share**2 * self._between.m2 / ((groups - 1) * whole) + partial

    def _add_to_group(self, mean: _Numbers) -> None:
        """Groups are consecutive blocks; of each only the mean matters, weighted by its number of blocks."""
        weight = 1
        if self._group is not None:
            weight = self._group.count + 1
            mean = self._group.mean + (mean - self._group.mean) / weight
        self._group = Moments(weight, mean, 0.0)
        if weight == self._sizes[0]:
            self._between = self._group if self._between is None else merge(self._between, self._group)
            self._group = None
            self._sizes = self._sizes[1:]


def _own(numbers: _Numbers, shapes: Sequence[torch.Size], place: int = 0) -> Tensor:
    """(N, ...) those of one quantity, of numbers (N, K) of all."""
    start = sum([shape.numel() for shape in shapes[:place]])
    own = numbers[:, start : start + shapes[place].numel()].reshape(len(numbers), *shapes[place])
    return own.contiguous() if isinstance(own, Tensor) else torch.from_numpy(np.ascontiguousarray(own))


def _group_sizes(whole: int) -> list[int]:
    """Blocks of each group: sizes that differ by at most one; no groups if there are too few blocks."""
    if whole < _FEW_BLOCKS:
        return []
    groups = min(whole, _MOST_GROUPS)
    return [whole // groups + (index < whole % groups) for index in range(groups)]
