"""Mean, variance and Monte Carlo error of samples that come in blocks of 16.

One algorithm, whether the samples are kept or not. Each block gives a float64 mean and a centred sum of
squares; blocks are merged in index order. Sums over samples are additions of halves, which IEEE 754 rounds
exactly, so a row's moments do not depend on its place in a tensor (a reduction of torch may add in another
order at the end of a tensor).

Alphabet: s samples of one block, S samples in all, N rows.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import accumulate
from typing import Final

import torch
from torch import Tensor

__all__ = ["Moments", "block_moments", "merge", "merge_all", "standard_error"]

_BLOCK: Final = 16
_STRATA_FACTOR: Final = 16 / 15
"""A mean of 16 stratified draws has at most this times the variance of independent ones (Owen 1997)."""
_FEW_BLOCKS: Final = 8
_MOST_GROUPS: Final = 32


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


def block_moments(samples: Tensor) -> Moments:
    """Moments of one block.

    Args:
        samples: (s, N, ...).
    """
    values = samples.to(torch.float64)
    mean = _sum_of_samples(values) / len(values)
    deviations = values - mean
    return Moments(len(values), mean, _sum_of_samples(deviations * deviations))


def _sum_of_samples(values: Tensor) -> Tensor:
    """(N, ...) sum of (s, N, ...) over s: the second half is added to the first until one is left."""
    while (count := len(values)) > 1:
        half = count // 2
        added = values[:half] + values[half : 2 * half]
        values = torch.cat([added, values[2 * half :]]) if count % 2 else added
    return values[0]


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
    total = merge_all(blocks)
    whole = [block for block in blocks if block.count == _BLOCK]
    factor = _STRATA_FACTOR if stratified and whole else 1.0
    if not stratified or len(whole) < _FEW_BLOCKS:
        return (total.variance * (factor / total.count)).sqrt()
    share = len(whole) * _BLOCK / total.count
    rest = total.count - len(whole) * _BLOCK
    partial = total.variance * (rest / total.count**2 * factor)
    return (share**2 * _variance_of_mean(whole) + partial).sqrt()


def _variance_of_mean(whole: Sequence[Moments]) -> Tensor:
    """Of the mean over whole blocks, from groups of consecutive ones whose sizes differ by at most one."""
    groups = [merge_all(whole[start:stop]) for start, stop in _group_bounds(len(whole))]
    mean = merge_all(whole).mean
    spread = reduce(torch.add, ((g.mean - mean) ** 2 * (g.count // _BLOCK) for g in groups))
    return spread / ((len(groups) - 1) * len(whole))


def _group_bounds(blocks: int) -> list[tuple[int, int]]:
    groups = min(blocks, _MOST_GROUPS)
    sizes = [blocks // groups + (index < blocks % groups) for index in range(groups)]
    stops = list(accumulate(sizes))
    return list(zip([0, *stops[:-1]], stops, strict=True))
