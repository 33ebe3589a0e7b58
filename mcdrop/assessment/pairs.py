"""Paired differences: two predictions of the same rows, compared row by row.

What is common to both (that some rows are hard) cancels, so the interval of a difference is far narrower than
two intervals side by side suggest.

Alphabet: N rows.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import replace

import torch

from mcdrop.assessment.sections import Difference
from mcdrop.intervals import Interval, mean_interval, two_sided
from mcdrop.rowscores import RowScores
from mcdrop.scoring import ScoreOptions

__all__ = ["difference_of_roots", "differences", "share_difference_interval"]


def differences(
    these: Iterable[RowScores], others: Sequence[RowScores], options: ScoreOptions
) -> tuple[Difference, ...]:
    """Differences of the scores that both have.

    Args:
        these: Row scores of one prediction.
        others: Of another one, of the same rows in the same order.
        options: Level and seed of the intervals.
    """
    known = {(each.name, each.output): each for each in others}
    matched = ((each, known.get((each.name, each.output))) for each in these)
    found = (_difference(this, other, options) for this, other in matched if other is not None)
    return tuple(each for each in found if not math.isnan(each.value))  # both infinite: nothing to compare


def share_difference_interval(gained: int, lost: int, rows: int, *, level: float) -> Interval:
    """Interval of the difference of two shares of the same rows.

    Args:
        gained: Rows that only the one has.
        lost: Rows that only the other has.
        rows: N.
        level: Confidence.

    Source:
        Bonett and Price 2012, "Adjusted Wald confidence interval for a difference of binomial proportions
        based on paired data", eq. 3: one row is added to each of the two counts.
    """
    up, down = (gained + 1) / (rows + 2), (lost + 1) / (rows + 2)
    half = two_sided(level) * math.sqrt((up + down - (up - down) ** 2) / (rows + 2))
    centre = up - down
    return Interval(max(-1.0, centre - half), min(1.0, centre + half), level, "Bonett-Price")


def difference_of_roots(found: Difference, this: float, other: float) -> Difference:
    """The difference of two root mean squared errors: that of the squares divided by the sum of the roots.

    Args:
        found: The difference of the mean squares.
        this: The one mean square.
        other: The other.
    """
    scale = (math.sqrt(this) + math.sqrt(other)) or 1.0
    interval = found.interval
    if interval is not None:
        interval = replace(interval, lower=interval.lower / scale, upper=interval.upper / scale)
    return replace(found, name="rmse", value=found.value / scale, interval=interval)


def _difference(this: RowScores, other: RowScores, options: ScoreOptions) -> Difference:
    gap = this.values.to(torch.float64) - other.values.to(torch.float64)
    value = gap.mean().item()
    if this.proportion and other.proportion:
        gained, lost = int((gap > 0).sum()), int((gap < 0).sum())
        interval = share_difference_interval(gained, lost, len(gap), level=options.level)
        return Difference(this.name, value, interval, this.output)
    usable = len(gap) > 1 and bool(gap.isfinite().all())
    interval_of = mean_interval(gap, level=options.level, seed=options.seed) if usable else None
    found = Difference(this.name, value, interval_of, this.output)
    if this.name != "mse":
        return found
    return difference_of_roots(found, this.values.mean().item(), other.values.mean().item())
