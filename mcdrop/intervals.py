"""Confidence intervals of the scores: a number that rests on few rows should say so.

Means get a bootstrap, proportions Wilson's interval; calibration errors, which are biased, have intervals
of their own in `mcdrop.calibration_intervals`. Rows are taken to be independent. Every draw comes from a
generator with the seed that is passed in.

Alphabet: N rows, R resamples.
"""

import math
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.metrics.resampling import chunks, resampling_generator
from mcdrop.shapes import TensorLike, check_fraction, check_rows, finite, shaped

__all__ = [
    "Interval",
    "bias_aware",
    "mean_interval",
    "normal_interval",
    "normal_quantile",
    "two_sided",
    "wilson_interval",
]

_BOOTSTRAP_ROWS: Final = 20_000  # from here on the normal interval, which by then is the same


@dataclass(frozen=True)
class Interval:
    """A confidence interval.

    Attributes:
        lower: Lower end, in units of the score.
        upper: Upper end.
        level: Confidence, such as 0.95.
        method: How it was made.
    """

    lower: float
    upper: float
    level: float
    method: str


def mean_interval(
    values: TensorLike, *, level: float = 0.95, resamples: int = 2000, seed: int = 0
) -> Interval:
    """Interval of a mean: the bootstrap, corrected for bias and skewness (BCa); normal from 20,000 rows on.

    Args:
        values: (N,) one score per row, finite.
        level: Confidence.
        resamples: R.
        seed: Of the resampling.

    Returns:
        The interval; of constant values it is a point.

    Raises:
        ShapeError: If `values` is not one-dimensional.
        DomainError: If a value is not finite or the level not between 0 and 1.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        Efron 1987, "Better bootstrap confidence intervals", eq. 2.3 and 7.3.
    """
    check_fraction("level", level)
    scores = finite("values", shaped("values", values, "N"))
    check_rows(len(scores), needed=2, what="an interval of a mean")
    if len(scores) > _BOOTSTRAP_ROWS or bool((scores == scores[0]).all()):
        return normal_interval(scores.mean().item(), scores.var().item(), len(scores), level=level)
    means = _resampled_means(scores, resamples, seed)
    low, high = _bca_levels(scores, means, level)
    ends = torch.quantile(means, torch.tensor([low, high], dtype=torch.float64, device=means.device))
    return Interval(ends[0].item(), ends[1].item(), level, "BCa bootstrap")


def normal_interval(mean: float, variance: float, rows: int, *, level: float = 0.95) -> Interval:
    """Interval of a mean of many rows, from their variance.

    Args:
        mean: Of the rows.
        variance: Of the rows, ddof = 1.
        rows: N, at least 1.
        level: Confidence.

    Returns:
        The interval.

    Raises:
        DomainError: If the level is not between 0 and 1.
    """
    check_fraction("level", level)
    margin = two_sided(level) * math.sqrt(variance / rows)
    return Interval(mean - margin, mean + margin, level, "normal")


def wilson_interval(successes: float, rows: int, *, level: float = 0.95) -> Interval:
    """Interval of a proportion.

    Args:
        successes: How many of the rows; between 0 and `rows`.
        rows: N, at least 1.
        level: Confidence.

    Returns:
        The interval, within [0, 1].

    Raises:
        DomainError: If the counts do not fit or the level is not between 0 and 1.

    Source:
        Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    check_fraction("level", level)
    if rows < 1 or not 0 <= successes <= rows:
        raise DomainError(f"successes must be from 0 to rows, and rows at least 1, got {successes} of {rows}")
    share, z = successes / rows, two_sided(level)
    centre = share + z**2 / (2 * rows)
    half = z * math.sqrt(share * (1 - share) / rows + z**2 / (4 * rows**2))
    scale = 1 + z**2 / rows
    lower, upper = (centre - half) / scale, (centre + half) / scale
    # at shares of 0 and 1 the end is the share itself, which rounding may miss
    return Interval(max(0.0, min(share, lower)), min(1.0, max(share, upper)), level, "Wilson")


def bias_aware(value: float, bias: float, spread: float, level: float) -> Interval:
    """[value - bias - z spread, value + z spread], cut to [0, 1]: the error is too large by 0 to `bias`."""
    margin = two_sided(level) * spread
    return Interval(max(0.0, value - bias - margin), min(1.0, value + margin), level, "bias-aware")


def normal_quantile(level: float) -> float:
    """The value below which a standard normal lies with probability `level`."""
    return float(torch.special.ndtri(torch.tensor(level, dtype=torch.float64, device="cpu")))


def two_sided(level: float) -> float:
    """The half-width, in standard deviations, of the middle of a normal law that has probability `level`."""
    return normal_quantile((1 + level) / 2)


def _resampled_means(scores: Tensor, resamples: int, seed: int) -> Tensor:
    generator = resampling_generator(seed)
    rows = len(scores)
    drawn = [
        scores[torch.randint(rows, (count, rows), generator=generator, device="cpu").to(scores.device)].mean(
            1
        )
        for count in chunks(resamples, rows)
    ]
    return torch.cat(drawn)


def _bca_levels(scores: Tensor, means: Tensor, level: float) -> tuple[float, float]:
    """The two levels of the resampled means at which the corrected interval ends."""
    centre = scores.mean()
    half = 0.5 / len(means)  # so that the shift stays finite even if all resamples fall on one side
    gaps = means - centre
    ties = gaps.abs() <= 4 * torch.finfo(means.dtype).eps * scores.abs().amax()  # but for the order of a sum
    below = torch.where(ties, 0.5, (gaps < 0).to(torch.float64)).mean().clamp(half, 1 - half)
    shift = normal_quantile(below.item())
    deviation = (scores - centre) / (scores - centre).abs().amax()  # of size 1: its cube cannot underflow
    skewness = deviation.pow(3).sum() / deviation.square().sum().pow(1.5)
    acceleration = skewness.item() / 6

    def corrected(z: float) -> float:
        moved = shift + z
        return _normal_cdf(shift + moved / (1 - acceleration * moved))

    z = two_sided(level)
    return corrected(-z), corrected(z)


def _normal_cdf(z: float) -> float:
    return 0.5 * math.erfc(-z / math.sqrt(2))
