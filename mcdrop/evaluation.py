"""`evaluate`: predictions and outcomes become a report, of numbers with their confidence intervals.

The report holds the Monte Carlo prediction's scores beside those of the deterministic pass. It is data: how
it looks is the business of `mcdrop.report`. Predictions are taken by their attributes (the protocols
below), so those of other tools will do.

Alphabet: S samples, N rows, C classes, D outputs, ... further dimensions.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Protocol, cast

import torch
from torch import Tensor

from mcdrop.errors import DomainError, NotFittedError, OptionError, SamplesNotKeptError, ShapeError
from mcdrop.metrics.calibration_error import top_label
from mcdrop.metrics.calibration_tests import consistency_test, uniformity_test
from mcdrop.metrics.regression_calibration import LEVELS, observed_frequencies, pit_mixture, pit_samples
from mcdrop.metrics.reliability import ReliabilityBins, reliability
from mcdrop.scorecard import CurvePoint, Report
from mcdrop.scoring import (
    GaussianMixture,
    Score,
    ScoreOptions,
    binary_scores,
    classification_scores,
    coverage_scores,
    point_scores,
    regression_scores,
)
from mcdrop.shapes import TensorLike, check_fraction, float64

__all__ = ["Prediction", "RegressionPrediction", "Report", "evaluate"]

_FEW_ROWS: Final = 100
_WHOLE_BLOCKS: Final = 32  # samples from which the CRPS can pair independent blocks of 16


class Prediction(Protocol):
    """What `evaluate` asks of a prediction."""

    @property
    def task(self) -> str:
        """`classification`, `binary`, `multilabel` or `regression`."""

    @property
    def n_samples(self) -> int:
        """S."""

    @property
    def seed(self) -> int:
        """Of the masks."""

    @property
    def mean(self) -> Tensor:
        """(N, ...) mean over the samples."""

    @property
    def deterministic(self) -> Tensor | None:
        """(N, ...) what the model says with dropout off, if known."""


class RegressionPrediction(Prediction, Protocol):
    """What `evaluate` asks of a regression beyond that."""

    @property
    def samples(self) -> Tensor:
        """(S, N, ...); raises `SamplesNotKeptError` if they were dropped."""

    @property
    def tau(self) -> float | None:
        """Noise precision."""

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Central interval; raises `SamplesNotKeptError` if it is not known."""


def evaluate(
    pred: Prediction,
    y: TensorLike,
    *,
    bins: int = 15,
    level: float = 0.95,
    coverage_level: float = 0.9,
    seed: int = 0,
    joint: bool = False,
) -> Report:
    """Score predictions against outcomes.

    Args:
        pred: Predictions of N rows.
        y: (N, ...) labels, outcomes 0 or 1, or real values, in the shape of the prediction's mean without the
            class axis; (N,) will do for a mean of (N, 1).
        bins: Of the calibration errors.
        level: Confidence of the intervals.
        coverage_level: Nominal coverage of the prediction intervals to check.
        seed: Of the resampling behind the intervals.
        joint: Whether the outputs of a regression are averaged into one score instead of scored each.

    Returns:
        The report.

    Raises:
        ShapeError: If `y` does not fit the prediction.
        DomainError: If labels are no classes, or a value is NaN.
        OptionError: If the task has no scores (`raw`).
    """
    check_fraction("level", level)
    check_fraction("coverage_level", coverage_level)
    if pred.task not in _TASKS:
        raise OptionError(f"a prediction must be of task {', '.join(_TASKS)} to be scored, got {pred.task!r}")
    _check_lengths(pred, y)
    found = _TASKS[pred.task](pred, y, ScoreOptions(bins, level, seed, joint), coverage_level)
    return Report(
        task=pred.task,
        n_rows=len(pred.mean),
        n_samples=pred.n_samples,
        seed=pred.seed,
        level=level,
        coverage_level=coverage_level,
        bins=bins,
        scores=found.scores,
        deterministic=found.deterministic,
        curve=found.curve,
        calibration_p_value=found.p_value,
        notes=tuple(_general_notes(pred)) + found.notes,
    )


@dataclass(frozen=True)
class _Found:
    scores: tuple[Score, ...]
    deterministic: tuple[Score, ...]
    curve: tuple[CurvePoint, ...]
    p_value: float | None
    notes: tuple[str, ...] = ()


def _classification(pred: Prediction, y: TensorLike, options: ScoreOptions, _level: float) -> _Found:
    axis = getattr(pred, "class_axis", -1)
    labels = float64("y", y)
    single = pred.deterministic
    confidence, event = top_label(pred.mean, labels, class_axis=axis)
    return _Found(
        classification_scores(pred.mean, labels, options, class_axis=axis),
        () if single is None else classification_scores(single, labels, options, class_axis=axis),
        _reliability_curve(reliability(confidence, event, bins=options.bins)),
        consistency_test(confidence, event, bins=options.bins, seed=options.seed).p_value,
    )


def _binary(pred: Prediction, y: TensorLike, options: ScoreOptions, _level: float) -> _Found:
    outcomes = float64("y", y)
    single = pred.deterministic
    return _Found(
        binary_scores(pred.mean, outcomes, options),
        () if single is None else binary_scores(single, outcomes, options),
        _reliability_curve(reliability(pred.mean, outcomes, bins=options.bins)),
        consistency_test(pred.mean, outcomes, bins=options.bins, seed=options.seed).p_value,
    )


def _regression(pred: Prediction, y: TensorLike, options: ScoreOptions, level: float) -> _Found:
    pred = cast(RegressionPrediction, pred)
    outcomes = _outcomes_like(y, pred.mean)
    law = _law(pred)
    point = point_scores(pred.mean, outcomes, options)
    scored = regression_scores(law, outcomes, options) if law else ()
    pit = _pit(law, outcomes) if law else None
    single = pit is not None and pit[0].numel() == 1
    return _Found(
        point + scored + _coverage(pred, outcomes, level, options),
        _point_law_scores(pred, outcomes, level, options),
        () if pit is None else _quantile_curve(pit, options),
        uniformity_test(pit.flatten()).p_value if pit is not None and single else None,
        tuple(_regression_notes(pred, law)),
    )


_TASKS: Final[dict[str, Callable[[Prediction, TensorLike, ScoreOptions, float], _Found]]] = {
    "classification": _classification,
    "binary": _binary,
    "multilabel": _binary,
    "regression": _regression,
}


def _law(pred: RegressionPrediction) -> GaussianMixture | None:
    """The mixture if the samples are at hand."""
    try:
        samples = pred.samples
    except SamplesNotKeptError:
        return None
    return GaussianMixture(samples.to(torch.float64), None if pred.tau is None else pred.tau**-0.5)


def _pit(law: GaussianMixture, y: Tensor) -> Tensor:
    if law.noise_std is None:
        return pit_samples(law.samples, y)
    return pit_mixture(law.samples, law.noise_std, y)


def _coverage(
    pred: RegressionPrediction, y: Tensor, level: float, options: ScoreOptions
) -> tuple[Score, ...]:
    try:
        lower, upper = pred.interval(level)
    except (SamplesNotKeptError, NotFittedError):
        return ()
    return coverage_scores(lower, upper, y, options)


def _point_law_scores(
    pred: RegressionPrediction, y: Tensor, level: float, options: ScoreOptions
) -> tuple[Score, ...]:
    """Scores of the deterministic pass: a point without tau, a Gaussian around it with tau."""
    single = pred.deterministic
    if single is None:
        return ()
    point = point_scores(single, y, options)
    if pred.tau is None:
        return point
    noise = pred.tau**-0.5
    margin = noise * math.sqrt(2) * float(torch.erfinv(torch.tensor(level, dtype=torch.float64)))
    centre = single.to(torch.float64)
    law = GaussianMixture(centre.unsqueeze(0), noise)
    covered = coverage_scores(centre - margin, centre + margin, y, options)
    return point + regression_scores(law, y, options) + covered


def _reliability_curve(bins: ReliabilityBins) -> tuple[CurvePoint, ...]:
    rows = zip(bins.confidence.tolist(), bins.frequency.tolist(), bins.count.tolist(), strict=True)
    return tuple(CurvePoint(stated, observed, int(count)) for stated, observed, count in rows if count)


def _quantile_curve(pit: Tensor, options: ScoreOptions) -> tuple[CurvePoint, ...]:
    columns = pit.reshape(1, -1).T if options.joint else pit.reshape(len(pit), -1)
    observed = observed_frequencies(columns).T.tolist()
    single = len(observed) == 1
    return tuple(
        CurvePoint(level, share, len(columns), None if single else output)
        for output, shares in enumerate(observed)
        for level, share in zip(LEVELS, shares, strict=True)
    )


def _general_notes(pred: Prediction) -> Iterable[str]:
    rows = len(pred.mean)
    if rows < _FEW_ROWS:
        yield f"only {rows} rows: read the intervals, not the numbers"
    yield from getattr(pred, "notes", ())


def _regression_notes(pred: RegressionPrediction, law: GaussianMixture | None) -> Iterable[str]:
    if pred.tau is None:
        yield "tau is not fitted: coverage is of the epistemic part alone, and there is no log likelihood"
    if law is None:
        yield "the samples were not kept: there is no CRPS, log likelihood or quantile calibration"
    elif pred.tau is None and pred.n_samples < _WHOLE_BLOCKS:
        yield f"the CRPS is approximate: {pred.n_samples} samples, fewer than two blocks of 16"


def _check_lengths(pred: Prediction, y: TensorLike) -> None:
    rows, shape = len(pred.mean), tuple(float64("y", y).shape)
    if rows == 0:
        raise DomainError("a prediction must have at least one row to be scored, got 0")
    if not shape or shape[0] != rows:
        raise ShapeError(f"y must have a value for each of the {rows} rows, got shape {shape}")


def _outcomes_like(y: TensorLike, mean: Tensor) -> Tensor:
    outcomes = float64("y", y)
    return outcomes.unsqueeze(-1) if mean.shape == (*outcomes.shape, 1) else outcomes
