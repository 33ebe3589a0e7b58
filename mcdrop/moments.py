"""Mean, variance and Monte Carlo error of samples that come in blocks of 16.

One algorithm, whether the samples are kept or not. Each block gives a float64 mean and a centred sum of
squares; blocks are merged in index order. Sums over samples are additions of halves, which IEEE 754 rounds
exactly, so a row's moments do not depend on its place in a tensor (a reduction of torch may add in another
order at the end of a tensor).

Alphabet: s samples of one block, S samples in all, N rows.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["Moments", "RunningMoments", "block_moments", "merge", "merge_all", "standard_error"]

_BLOCK: Final = 16
_STRATA_FACTOR: Final = 16 / 15
"""A mean of 16 stratified draws has at most this times the variance of independent ones (Owen 1997)."""
_FEW_BLOCKS: Final = 8
_FEW_NUMBERS: Final = 2**14
"""Up to so many numbers on the CPU are summed by NumPy: its calls take a third of the time, and
IEEE 754 leaves both no choice of bits."""
_MOST_GROUPS: Final = 32

_Numbers = TypeVar("_Numbers", Tensor, NDArray[Any])


@dataclass(frozen=True)
class Moments:
    """Moments of `count` samples.

    Attributes:
        count: How many.
        mean: (N, ...) float64.
        m2: (N, ...) float64, the sum of squared deviations from the mean.
    """

    count: int
    mean: Tensor
    m2: Tensor

    @property
    def variance(self) -> Tensor:
        """(N, ...) with ddof = 1; 0 for a single sample."""
        return self.m2 / max(self.count - 1, 1)

    def take(self, rows: Tensor | slice) -> "Moments":
        """Of some of the rows."""
        return Moments(self.count, self.mean[rows], self.m2[rows])

    @staticmethod
    def join(parts: "Sequence[Moments]") -> "Moments":
        """Of the rows of all parts, one after the other; of equal counts."""
        mean, m2 = (torch.cat([getattr(part, name) for part in parts]) for name in ("mean", "m2"))
        return Moments(parts[0].count, mean, m2)


def block_moments(samples: Tensor) -> Moments:
    """Moments of one block.

    Args:
        samples: (s, N, ...).
    """
    values = samples.to(torch.float64)
    if values.device.type == "cpu" and values.numel() <= _FEW_NUMBERS and not values.requires_grad:
        with np.errstate(all="ignore"):
            mean, m2 = _mean_and_m2(values.numpy(), np.concatenate)
        return Moments(len(values), torch.from_numpy(mean), torch.from_numpy(m2))
    return Moments(len(values), *_mean_and_m2(values, torch.cat))


def _mean_and_m2(values: _Numbers, join: Callable[[list[_Numbers]], _Numbers]) -> tuple[_Numbers, _Numbers]:
    """Of (s, N, ...): the same steps for tensors and arrays, and so the same bits."""
    mean = _sum_of_samples(values, join) / len(values)
    deviations = values - mean
    return mean, _sum_of_samples(deviations * deviations, join)


def _sum_of_samples(values: _Numbers, join: Callable[[list[_Numbers]], _Numbers]) -> _Numbers:
    """(N, ...) sum of (s, N, ...) over s: the second half is added to the first until one is left."""
    while (count := len(values)) > 1:
        half = count // 2
        added = values[:half] + values[half : 2 * half]
        values = join([added, values[2 * half :]]) if count % 2 else added
    total: _Numbers = values[0]
    return total


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


def merge_all(blocks: Sequence[Moments]) -> Moments:
    """Moments of all blocks, merged in their order."""
    return reduce(merge, blocks)


class RunningMoments:
    """Moments of all blocks and the Monte Carlo error of their mean, taken in as the blocks come.

    Args:
        samples: S, how many there will be; the error groups whole blocks by it.
        stratified: Whether the samples of a block are stratified.
    """

    def __init__(self, samples: int, *, stratified: bool = True) -> None:
        self._samples = samples
        self._stratified = stratified
        self._sizes = _group_sizes(samples // _BLOCK) if stratified else []
        self._total: Moments | None = None
        self._group: Moments | None = None
        self._between: Moments | None = None

    @property
    def total(self) -> Moments:
        """Of all blocks so far; there must be one."""
        if self._total is None:
            raise RuntimeError("no block was added")
        return self._total

    def add(self, block: Moments) -> None:
        """Take in the next block; all are whole but perhaps the last."""
        self._total = block if self._total is None else merge(self._total, block)
        if self._sizes and block.count == _BLOCK:
            self._add_to_group(block)

    def standard_error(self) -> Tensor:
        """(N, ...) float64, of the mean over all S samples: see the function of that name."""
        total, whole = self.total, self._samples // _BLOCK
        factor = _STRATA_FACTOR if self._stratified and whole else 1.0
        if self._between is None:
            return (total.variance * (factor / total.count)).sqrt()
        share = whole * _BLOCK / total.count
        rest = total.count - whole * _BLOCK
        partial = total.variance * (rest / total.count**2 * factor)
        groups = min(whole, _MOST_GROUPS)
        return (share**2 * self._between.m2 / ((groups - 1) * whole) + partial).sqrt()

    def _add_to_group(self, block: Moments) -> None:
        """Groups are consecutive blocks; of each only the mean matters, weighted by its number of blocks."""
        weight, mean = 1, block.mean
        if self._group is not None:
            weight = self._group.count + 1
            mean = self._group.mean + (block.mean - self._group.mean) / weight
        self._group = Moments(weight, mean, torch.zeros_like(mean))
        if weight == self._sizes[0]:
            self._between = self._group if self._between is None else merge(self._between, self._group)
            self._group = None
            self._sizes = self._sizes[1:]


def standard_error(blocks: Sequence[Moments], *, stratified: bool = True) -> Tensor:
    """Monte Carlo error of the mean over all blocks.

    With fewer than 8 whole blocks of stratified samples it is conservative: s / sqrt(S) * sqrt(16/15), and
    below one whole block s / sqrt(S). From 8 on it is estimated from the spread between blocks, over at most
    32 groups of whole blocks; a partial block of r samples then adds (r/S)^2 * s^2/r * 16/15 to the squared
    error of the whole blocks' share. Independent samples give s / sqrt(S).

    Args:
        blocks: In order; all whole but perhaps the last.
        stratified: Whether the samples of a block are stratified.

    Returns:
        (N, ...) float64, in units of the mean; 0 where the samples are equal.

    Source:
        Owen 1997, "Monte Carlo variance of scrambled net quadrature"; batch means as in Glynn and Iglehart
        1990, "Simulation output analysis using standardized time series".
    """
    running = RunningMoments(sum(block.count for block in blocks), stratified=stratified)
    for block in blocks:
        running.add(block)
    return running.standard_error()


def _group_sizes(whole: int) -> list[int]:
    """Blocks of each group: sizes that differ by at most one; no groups if there are too few blocks."""
    if whole < _FEW_BLOCKS:
        return []
    groups = min(whole, _MOST_GROUPS)
    return [whole // groups + (index < whole % groups) for index in range(groups)]
