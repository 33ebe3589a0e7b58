"""Does the uncertainty order the errors, and which threshold would one choose?

Intervals are those of a percentile bootstrap over the cases. A case is a row, or a pixel or token of one;
only rows are independent, so the scores of pixels have no interval.

Alphabet: P cases, K distinct uncertainties, R resamples.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from mcdrop.assessment.sections import RiskPoint, ThresholdChoice
from mcdrop.intervals import Interval, mean_interval, wilson_interval
from mcdrop.metrics.ranking import (
    RiskCoverage,
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    auroc,
    average_precision,
    risk_coverage,
)
from mcdrop.metrics.resampling import bootstrap_weights, chunks, resampling_generator
from mcdrop.scoring import Score, ScoreOptions

__all__ = ["ranking_scores", "risk_points", "threshold_choices"]

_RESAMPLES: Final = 500
_LARGE: Final = 20_000_000  # resampled cases, beyond which fewer resamples must do
_CURVE_POINTS: Final = 200
_COVERAGES: Final = (1.0, 0.99, 0.95, 0.9, 0.8, 0.7, 0.5)


def ranking_scores(
    uncertainty: Tensor, loss: Tensor, options: ScoreOptions, *, events: bool, independent: bool = True
) -> tuple[Score, ...]:
    """AUROC and AUPR of errors (for 0/1 losses, some but not all 1), AURC and AUGRC.

    Args:
        uncertainty: (P,) higher is less sure.
        loss: (P,) of the same cases.
        options: Level and seed.
        events: Whether the losses are errors, 0 or 1.
        independent: Whether the cases are rows.
    """
    wanted: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
        "aurc": area_under_risk_coverage,
        "augrc": area_under_generalized_risk_coverage,
    }
    if events and 0 < loss.sum().item() < len(loss):
        wanted = {"error_auroc": auroc, "error_aupr": average_precision, **wanted}
    if len(loss) < 2 or not bool(loss.isfinite().all()):
        return ()
    resampled = _resampled(uncertainty, loss, options.seed) if independent else {}
    return tuple(
        Score(name, score(uncertainty, loss).item(), _percentiles(resampled.get(name), options.level))
        for name, score in wanted.items()
    )


def risk_points(uncertainty: Tensor, loss: Tensor) -> tuple[RiskPoint, ...]:
    """The risk-coverage curve, at most 200 points of it.

    Args:
        uncertainty: (P,) higher is less sure.
        loss: (P,) of the same cases.
    """
    curve = risk_coverage(uncertainty, loss)
    last = len(curve.risk) - 1
    places = sorted({round(last * step / (_CURVE_POINTS - 1)) for step in range(_CURVE_POINTS)})
    return tuple(RiskPoint(curve.coverage[k].item(), curve.risk[k].item()) for k in places)


def threshold_choices(
    uncertainty: Tensor, loss: Tensor, options: ScoreOptions, *, events: bool
) -> tuple[ThresholdChoice, ...]:
    """Thresholds that answer all, 99 %, 95 %, ... of the cases, and what the answered ones cost.

    Args:
        uncertainty: (P,) higher is less sure.
        loss: (P,) of the same cases.
        options: Level and seed.
        events: Whether the losses are errors, 0 or 1.
    """
    curve = risk_coverage(uncertainty, loss)
    picked = dict.fromkeys(int((curve.coverage <= wanted + 1e-9).sum()) - 1 for wanted in _COVERAGES)
    return tuple(_choice(curve, k, uncertainty, loss, options, events=events) for k in picked if k >= 0)


def _choice(
    curve: RiskCoverage, k: int, uncertainty: Tensor, loss: Tensor, options: ScoreOptions, *, events: bool
) -> ThresholdChoice:
    threshold, coverage, risk = (part[k].item() for part in curve)
    answered = loss[uncertainty.to(torch.float64) <= threshold]
    count = len(answered)
    interval = None
    if events:
        interval = wilson_interval(answered.sum().item(), count, level=options.level)
    elif count > 1:
        interval = mean_interval(answered, level=options.level, resamples=_RESAMPLES, seed=options.seed)
    return ThresholdChoice(threshold, coverage, count, risk, interval)


def _resampled(uncertainty: Tensor, loss: Tensor, seed: int) -> dict[str, Tensor]:
    _, inverse = torch.unique(uncertainty.cpu(), return_inverse=True)
    losses = loss.to(torch.float64).cpu()
    generator = resampling_generator(seed)
    resamples = max(100, min(_RESAMPLES, _LARGE // len(loss)))
    parts: list[dict[str, Tensor]] = []
    for size in chunks(resamples, len(loss)):
        weights = bootstrap_weights(size, len(loss), generator)
        parts.append(_areas(_steps(weights, inverse, losses)))
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _steps(weights: Tensor, inverse: Tensor, loss: Tensor) -> tuple[Tensor, Tensor]:
    """(R, K) cases and losses at each distinct uncertainty, from the least uncertain on."""
    empty = torch.zeros(len(weights), int(inverse.max()) + 1, dtype=torch.float64, device="cpu")
    return empty.index_add(1, inverse, weights), empty.index_add(1, inverse, weights * loss)


def _areas(steps: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
    """(R,) of each score; NaN where a resample has no errors, or nothing else."""
    count, loss = steps
    total = count.sum(1, keepdim=True)
    taken, lost = count.cumsum(1), loss.cumsum(1)
    share = count / total
    risk = (lost / taken).nan_to_num()  # before the first case
    generalized = lost / total
    before = generalized - loss / total
    right = count - loss
    wins = (loss * (right.cumsum(1) - 0.5 * right)).sum(1)
    wrong = loss.sum(1)
    return {
        "aurc": (share * risk).sum(1),
        "augrc": (share * (generalized + before) / 2).sum(1),
        "error_auroc": wins / (wrong * right.sum(1)),
        "error_aupr": _average_precision(count, loss),
    }


def _average_precision(count: Tensor, loss: Tensor) -> Tensor:
    taken, found = count.flip(1).cumsum(1), loss.flip(1).cumsum(1)
    precision = (found / taken).nan_to_num()
    return (loss.flip(1) * precision).sum(1) / loss.sum(1)


def _percentiles(values: Tensor | None, level: float) -> Interval | None:
    if values is None:
        return None
    usable = values[values.isfinite()]
    if len(usable) < 2:
        return None
    ends = torch.tensor([(1 - level) / 2, (1 + level) / 2], dtype=torch.float64, device="cpu")
    lower, upper = torch.quantile(usable, ends).tolist()
    return Interval(lower, upper, level, "percentile bootstrap")
