"""What the parts of a report are computed from: one prediction against its outcomes, alike for all tasks.

Alphabet: S samples, N rows, C classes, D outputs, k cases of a row (pixels, tokens, labels, outputs), P = N k
cases in all, ... further dimensions.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mcdrop.metrics.calibration_error import top_label
from mcdrop.metrics.classification import binary_correct, correct
from mcdrop.rowscores import (
    GaussianMixture,
    RowScores,
    binary_rows,
    classification_rows,
    coverage_rows,
    law_rows,
    pit_of,
    point_rows,
)
from mcdrop.scoring import (
    Score,
    ScoreOptions,
    calibration_scores,
    overconfidence_score,
    quantile_scores,
    row_scores,
    smooth_scores,
    split_scores,
    spread_scores,
)
from mcdrop.uncertainty import binary_entropy, entropy

__all__ = [
    "Readings",
    "binary_readings",
    "class_readings",
    "further_of",
    "regression_readings",
    "scores_of",
]


@dataclass(frozen=True)
class Readings:
    """One prediction of N rows against what was observed.

    Attributes:
        rows: Row scores, in the order in which they are shown.
        uncertainty: (N, k) higher is less sure.
        loss: (N, k) error, 0 or 1, or distance.
        events: Whether the losses are errors.
        pairs: (N, k) confidences and events; None for a regression.
        laws: Stated probabilities of classes (N, k, C) and which of them came (N, k); None for a regression.
        pit: (N, D); None for a classification, or if the law is not known.
        std: (N, D) of a regression, if it is known.
        error: (N, D) outcome minus prediction of a regression.
    """

    rows: tuple[RowScores, ...]
    uncertainty: Tensor
    loss: Tensor
    events: bool
    pairs: tuple[Tensor, Tensor] | None = None
    laws: tuple[Tensor, Tensor] | None = None
    pit: Tensor | None = None
    std: Tensor | None = None
    error: Tensor | None = None


def class_readings(probs: Tensor, y: Tensor, *, class_axis: int) -> Readings:
    """Of class probabilities (N, ..., C) and labels (N, ...).

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
    """
    confidence, event = (part.reshape(len(probs), -1) for part in top_label(probs, y, class_axis=class_axis))
    return Readings(
        classification_rows(probs, y, class_axis=class_axis),
        _by_row(entropy(probs, class_axis)),
        _by_row(1 - correct(probs, y, class_axis=class_axis)),
        events=True,
        pairs=(confidence, event),
        laws=_laws(probs.movedim(class_axis, -1), y),
    )


def binary_readings(p: Tensor, y: Tensor) -> Readings:
    """Of probabilities (N, ...) of an event, and outcomes.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.
    """
    rows, loss = binary_rows(p, y), 1 - binary_correct(p, y)
    return Readings(
        rows,
        _by_row(binary_entropy(p.to(torch.float64).clamp(0, 1))),
        _by_row(loss),
        events=True,
        pairs=(_by_row(p), _by_row(y)),
        laws=_laws(p.unsqueeze(-1), 1 - y.to(torch.float64)),  # the event is class 0, the rest has no column
    )


def regression_readings(
    mean: Tensor,
    y: Tensor,
    *,
    law: GaussianMixture | None,
    std: Tensor | None,
    interval: tuple[Tensor, Tensor] | None,
    joint: bool,
    recalibrate: Callable[[Tensor], Tensor] = lambda pit: pit,
) -> Readings:
    """Of means (N, ...) and outcomes, with what else is known.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.
        law: The predictive law.
        std: (N, ...) standard deviations.
        interval: Ends of the central intervals.
        joint: Whether the outputs are averaged.
        recalibrate: What a fitted map of the levels makes of PIT values.

    Raises:
        ShapeError: If the shapes differ.
    """
    rows = point_rows(mean, y, joint=joint)
    error = _by_row(y - mean.to(torch.float64))
    rows += () if law is None else law_rows(law, y, joint=joint)
    rows += () if interval is None else coverage_rows(*interval, y, joint=joint)
    spread = torch.zeros_like(error) if std is None else _by_row(std)
    return Readings(
        rows,
        _on_one_scale(spread),
        _on_one_scale(error.abs()),
        events=False,
        pit=None if law is None else _by_row(recalibrate(pit_of(law, y))),
        std=None if std is None else spread,
        error=error,
    )


def scores_of(readings: Readings, options: ScoreOptions) -> tuple[Score, ...]:
    """The scores that are shown first, with their intervals."""
    if readings.pairs is not None:
        return row_scores(readings.rows, options) + calibration_scores(*readings.pairs, options)
    intervals = tuple(each for each in readings.rows if each.name in {"coverage", "width"})
    others = tuple(each for each in readings.rows if each.name not in {"coverage", "width"})
    quantiles = () if readings.pit is None else quantile_scores(readings.pit, options)
    return row_scores(others, options) + quantiles + row_scores(intervals, options)


def further_of(readings: Readings, options: ScoreOptions) -> tuple[Score, ...]:
    """Overconfidence, smooth ECE and the parts of the Brier score; of a regression ENCE."""
    found: tuple[Score, ...] = ()
    if readings.pairs is not None:
        found += (overconfidence_score(*readings.pairs, options), *smooth_scores(*readings.pairs, options))
    if readings.laws is not None:
        found += split_scores(*readings.laws, options)
    if readings.std is not None and readings.error is not None:
        found += spread_scores(readings.std, readings.error, options)
    return found


def _laws(stated: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """(N, k, C) and (N, k), of probabilities (N, ..., C) and labels (N, ...)."""
    return stated.to(torch.float64).reshape(len(stated), -1, stated.shape[-1]), _by_row(labels)


def _by_row(values: Tensor) -> Tensor:
    return values.to(torch.float64).reshape(len(values), -1)


def _on_one_scale(values: Tensor) -> Tensor:
    """(N, 1): of one output itself; of several the mean of their values, each divided by its own mean."""
    if values.shape[1] == 1:
        return values
    typical = values.mean(0)
    return (values / torch.where(typical > 0, typical, 1.0)).mean(1, keepdim=True)
