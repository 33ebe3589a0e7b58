"""Rows from another distribution: does the uncertainty tell them apart, and better than what costs nothing?

The baseline is one minus the largest probability of a single deterministic pass. Where that does as well, the
samples add nothing to this purpose.

Alphabet: N rows from the distribution, M rows from elsewhere.
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from mcdrop.assessment.diagrams import histogram
from mcdrop.assessment.sections import Histogram, OodScore
from mcdrop.intervals import Interval, two_sided, wilson_interval
from mcdrop.metrics.ranking import fpr_at_95, ood_auroc
from mcdrop.scoring import ScoreOptions

__all__ = ["auroc_interval", "elsewhere_histograms", "elsewhere_scores"]

_BINS = 20


def elsewhere_scores(
    inside: Mapping[str, Tensor], outside: Mapping[str, Tensor], options: ScoreOptions
) -> tuple[OodScore, ...]:
    """AUROC and FPR95 of each measure that both have.

    Args:
        inside: (N,) values by measure, of rows from the distribution; larger is less sure.
        outside: (M,) the same of the other rows.
        options: Level of the intervals.
    """
    return tuple(
        _score(name, values.to(torch.float64), outside[name].to(torch.float64), options)
        for name, values in inside.items()
        if name in outside
    )


def elsewhere_histograms(inside: Tensor, outside: Tensor) -> tuple[Histogram, ...]:
    """Counts of one measure in 20 common bins, for both kinds of rows."""
    both = torch.cat([inside, outside]).to(torch.float64)
    low, high = both.min().item(), both.max().item()
    high = high if high > low else low + 1.0
    pairs = (("in_distribution", inside), ("out_of_distribution", outside))
    return tuple(histogram(name, values, _BINS, (low, high)) for name, values in pairs)


def auroc_interval(auroc: float, positives: int, negatives: int, *, level: float) -> Interval:
    """Interval of an AUROC, with the variance of Hanley and McNeil and on the scale of the logit.

    Args:
        auroc: The estimate.
        positives: Rows that should have the larger values.
        negatives: The others.
        level: Confidence.

    Source:
        Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic
        curve", eq. 2; on the logit scale, so that it stays within [0, 1]: Newcombe 2006. An estimate of 0 or
        1 is moved by half a pair of rows.
    """
    half_pair = 0.5 / (positives * negatives)
    a = min(1 - half_pair, max(half_pair, auroc))
    first, second = a / (2 - a), 2 * a * a / (1 + a)
    spread = (positives - 1) * (first - a * a) + (negatives - 1) * (second - a * a)
    variance = (a * (1 - a) + spread) / (positives * negatives)
    margin = two_sided(level) * math.sqrt(variance) / (a * (1 - a))
    centre = math.log(a / (1 - a))
    lower, upper = (1 / (1 + math.exp(-(centre + sign * margin))) for sign in (-1, 1))
    return Interval(min(lower, auroc), max(upper, auroc), level, "Hanley-McNeil")


def _score(name: str, inside: Tensor, outside: Tensor, options: ScoreOptions) -> OodScore:
    auroc, fpr = ood_auroc(inside, outside).item(), fpr_at_95(inside, outside).item()
    taken = wilson_interval(round(fpr * len(outside)), len(outside), level=options.level)
    interval = auroc_interval(auroc, len(outside), len(inside), level=options.level)
    return OodScore(name, auroc, interval, fpr, taken)
