"""Mean, variance and Monte Carlo error of samples that come in blocks of 16.

One algorithm, whether the samples are kept or not: the moments of the blocks are merged in index order.

Alphabet: S samples, N rows, K numbers of a row in all quantities.
"""

from copy import copy
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from mcdrop.blockmoments import BLOCK, BlockMoments, Numbers, part, shaped, some_rows, stacked

__all__ = ["UNGROUPED", "Moments", "RunningMoments", "each_block", "merge"]

_STRATA_FACTOR: Final = 16 / 15
"""A mean of 16 stratified draws has at most this times the variance of independent ones (Owen 1997)."""
_FEW_BLOCKS: Final = 8
_MOST_GROUPS: Final = 32
UNGROUPED: Final = _MOST_GROUPS * BLOCK
"""Up to so many samples every block is a group of its own for the error."""


@dataclass(slots=True)
class Moments:
    """Moments of `count` samples. Never changed; it is not frozen, since several are made for every request.

    Attributes:
        count: How many.
        mean: (N, ...) float64.
        m2: (N, ...) float64, the sum of squared deviations from the mean.
    """

    count: int
    mean: Numbers
    m2: Numbers

    @property
    def variance(self) -> Numbers:
        """(N, ...) with ddof = 1; 0 for a single sample."""
        return self.m2 / max(self.count - 1, 1)


def each_block(blocks: BlockMoments) -> list[Moments]:
    """(N, ...) of each block, of the first quantity, as tensors."""
    shapes = blocks.shapes
    means = [shaped(part(block, shapes), shapes[0]) for block in blocks.mean]
    sums = [shaped(part(block, shapes), shapes[0]) for block in blocks.m2]
    return list(map(Moments, blocks.counts, means, sums))


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
        samples: S, how many there will be; the error groups whole blocks by it. Up to `UNGROUPED` every block
            is a group, and the error can be asked for after each.
        stratified: Whether the samples of a block are stratified.

    Source:
        Owen 1997, "Monte Carlo variance of scrambled net quadrature"; batch means as in Glynn and Iglehart
        1990, "Simulation output analysis using standardized time series".
    """

    def __init__(self, samples: int, *, stratified: bool = True) -> None:
        self._stratified = stratified
        self._sizes = _group_sizes(samples // BLOCK) if stratified else []
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

    def followed_by(self, blocks: BlockMoments) -> "RunningMoments":
        """The same with the next blocks; this one stays as it is."""
        running = copy(self)
        running.add(blocks)
        return running

    def take(self, rows: Tensor) -> "RunningMoments":
        """Of some of the rows; this one stays as it is."""
        running = copy(self)
        running.keep(rows)
        return running

    def keep(self, rows: Tensor) -> None:
        """Forget all other rows."""
        self._total, self._group, self._between = (
            None
            if each is None
            else Moments(each.count, some_rows(each.mean, rows), some_rows(each.m2, rows))
            for each in (self._total, self._group, self._between)
        )

    def add(self, blocks: BlockMoments) -> None:
        """Take in the next blocks; all are whole but perhaps the last of all."""
        self._shapes = blocks.shapes
        with np.errstate(all="ignore"):
            for block in map(Moments, blocks.counts, blocks.mean, blocks.m2):
                self._total = block if self._total is None else merge(self._total, block)
                if self._sizes and block.count == BLOCK:
                    self._add_to_group(block.mean)

    @property
    def quantities(self) -> int:
        """How many stand side by side."""
        return len(self._shapes)

    def total(self) -> Moments:
        """(N, ...) of all blocks so far, of the first quantity, as tensors; there must be one block."""
        total = self._first()
        return Moments(total.count, self.tensor(total.mean), self.tensor(total.m2))

    def tensor(self, numbers: Numbers, place: int = 0) -> Tensor:
        """(..., N, ...) numbers (..., N, k) of one of the quantities as a tensor of the shape that it has."""
        return shaped(numbers, self._shapes[place])

    def mean(self, place: int = 0) -> Numbers:
        """(N, k) float64, of one of the quantities, an array where the moments are."""
        return part(self._known().mean, self._shapes, place)

    def figures(self) -> Numbers:
        """(3, N, k) float64, of the first quantity: mean, standard deviation and Monte Carlo error.

        An array where the moments are. The deviation has ddof = 1, and is 0 for a single sample.
        """
        total = self._first()
        variance = total.variance
        figures = stacked([total.mean, variance, self._square_error(total.count, variance)])
        squares = figures[1:]
        (squares if isinstance(squares, Tensor) else torch.from_numpy(squares)).sqrt_()
        return figures

    def standard_error(self) -> Tensor:
        """(N, ...) float64, of the mean of the first quantity over all S samples, in its units.

        It is 0 where the samples are equal.
        """
        total = self._first()
        return self.tensor(self._square_error(total.count, total.variance)).sqrt()

    def _known(self) -> Moments:
        if self._total is None:
            raise RuntimeError("no block was added")
        return self._total

    def _first(self) -> Moments:
        """(N, k) of the first quantity."""
        total = self._known()
        return Moments(total.count, part(total.mean, self._shapes), part(total.m2, self._shapes))

    def _square_error(self, count: int, variance: Numbers) -> Numbers:
        """(N, k) of the mean of the first quantity, from its variance."""
        whole = count // BLOCK
        factor = _STRATA_FACTOR if self._stratified and whole else 1.0
        if self._between is None or whole < _FEW_BLOCKS:
            return variance * (factor / count)
        share = whole * BLOCK / count
        groups = min(whole, _MOST_GROUPS)
        with np.errstate(all="ignore"):
            partial = variance * ((count - whole * BLOCK) / count**2 * factor)
            between = part(self._between.m2, self._shapes)
            return share**2 * between / ((groups - 1) * whole) + partial

    def _add_to_group(self, mean: Numbers) -> None:
        """Groups are consecutive blocks; of each only the mean matters, weighted by its number of blocks."""
        weight = 1
        if self._group is not None:
            weight = self._group.count + 1
            mean = self._group.mean + (mean - self._group.mean) / weight
        zeros = (torch if isinstance(mean, Tensor) else np).zeros_like(mean)
        self._group = Moments(weight, mean, zeros)
        if weight == self._sizes[0]:
            self._between = self._group if self._between is None else merge(self._between, self._group)
            self._group = None
            self._sizes = self._sizes[1:]


def _group_sizes(whole: int) -> list[int]:
    """Blocks of each group: sizes that differ by at most one; no groups if there are too few blocks."""
    if whole < _FEW_BLOCKS:
        return []
    groups = min(whole, _MOST_GROUPS)
    return [whole // groups + (index < whole % groups) for index in range(groups)]
