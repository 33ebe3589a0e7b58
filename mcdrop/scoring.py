"""The scores of one set of predictions, each with its confidence interval: what a report is made of.

Takes tensors: class probabilities, probabilities of an event, or the law of a regression as samples with
noise. `mcdrop.evaluation` applies these functions twice, to the Monte Carlo prediction and to the
deterministic pass.

Alphabet: S samples, N rows, C classes, D outputs, ... further dimensions. Further dimensions of a row
(pixels, tokens) are not independent: a row's mean counts once in the interval of a mean.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from torch import Tensor

from mcdrop.calibration_intervals import ece_interval, l2_interval, qce_interval
from mcdrop.intervals import Interval, mean_interval, wilson_interval
from mcdrop.metrics.calibration_error import debiased_l2_error, expected_calibration_error, top_label
from mcdrop.metrics.classification import (
    binary_brier_score,
    binary_correct,
    binary_negative_log_likelihood,
    brier_score,
    correct,
    negative_log_likelihood,
)
from mcdrop.metrics.crps import crps_blocks, crps_mixture
from mcdrop.metrics.regression import absolute_error, mixture_negative_log_likelihood, squared_error
from mcdrop.metrics.regression_calibration import (
    covered,
    interval_width,
    pit_mixture,
    pit_samples,
    quantile_calibration_error,
)

__all__ = [
    "HIGHER_IS_BETTER",
    "GaussianMixture",
    "Score",
    "ScoreOptions",
    "binary_scores",
    "classification_scores",
    "coverage_scores",
    "point_scores",
    "regression_scores",
]

HIGHER_IS_BETTER: Final = frozenset({"accuracy", "coverage"})
"""Names of the scores of which more is better; of all others less is."""


@dataclass(frozen=True)
class Score:
    """One number about a set of predictions.

    Attributes:
        name: `accuracy`, `nll`, `brier`, `ece`, `ece_l2`, `rmse`, `mae`, `crps`, `coverage`, `width` or
            `qce`.
        value: The number; nats for `nll`, units of the output for `rmse`, `mae`, `crps` and `width`.
        interval: Its confidence interval, or None if there is none (one row, or an infinite score).
        output: Which output of the model it is about; None if there is one, or the score is joint.
    """

    name: str
    value: float
    interval: Interval | None = None
    output: int | None = None


@dataclass(frozen=True)
class ScoreOptions:
    """How scores and their intervals are computed.

    Attributes:
        bins: Of the calibration errors.
        level: Confidence of the intervals.
        seed: Of the resampling.
        joint: Whether the outputs of a regression are averaged into one score instead of scored each.
    """

    bins: int = 15
    level: float = 0.95
    seed: int = 0
    joint: bool = False


@dataclass(frozen=True)
class GaussianMixture:
    """The predictive law of a regression.

    Attributes:
        samples: (S, N, ...) mean of each sample.
        noise_std: Standard deviation of the noise around each sample, in units of the output; None if
            unknown.
    """

    samples: Tensor
    noise_std: float | None


def classification_scores(
    probs: Tensor, y: Tensor, options: ScoreOptions, *, class_axis: int = -1
) -> tuple[Score, ...]:
    """Accuracy, log score, Brier score and top-label calibration of class probabilities.

    Args:
        probs: (N, ..., C) class probabilities.
        y: (N, ...) labels.
        options: How.
        class_axis: Where the classes are.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
    """
    rows = [
        _proportion("accuracy", correct(probs, y, class_axis=class_axis), options),
        _mean("nll", negative_log_likelihood(probs, y, class_axis=class_axis), options),
        _mean("brier", brier_score(probs, y, class_axis=class_axis), options),
    ]
    return (*rows, *_calibration(*top_label(probs, y, class_axis=class_axis), options))


def binary_scores(p: Tensor, y: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """Accuracy, log score, Brier score and calibration of P(y = 1); of several labels a row has the mean.

    Args:
        p: (N, ...) probabilities of the event.
        y: (N, ...) outcomes, 0 or 1.
        options: How.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.
    """
    rows = [
        _proportion("accuracy", binary_correct(p, y), options),
        _mean("nll", binary_negative_log_likelihood(p, y), options),
        _mean("brier", binary_brier_score(p, y), options),
    ]
    return (*rows, *_calibration(p, y, options))


def point_scores(mean: Tensor, y: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """RMSE and MAE of the predicted means.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.
        options: How.

    Raises:
        ShapeError: If the shapes differ.
    """
    squares = squared_error(mean, y)
    roots = tuple(_root(score) for score in _each_output("rmse", squares, _mean, options))
    return roots + _each_output("mae", absolute_error(mean, y), _mean, options)


def regression_scores(law: GaussianMixture, y: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """Log score (if the noise is known), CRPS and error of quantile calibration.

    Args:
        law: The prediction.
        y: (N, ...) outcomes.
        options: How.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    samples, noise = law.samples, law.noise_std
    if noise is None:
        crps, pit = crps_blocks(samples, y), pit_samples(samples, y)
        return _each_output("crps", crps, _mean, options) + _each_output("qce", pit, _quantiles, options)
    nll = mixture_negative_log_likelihood(samples, noise, y)
    crps, pit = crps_mixture(samples, noise, y), pit_mixture(samples, noise, y)
    return (
        *_each_output("nll", nll, _mean, options),
        *_each_output("crps", crps, _mean, options),
        *_each_output("qce", pit, _quantiles, options),
    )


def coverage_scores(lower: Tensor, upper: Tensor, y: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """Share of outcomes in their intervals, and the mean width of these.

    Args:
        lower: (N, ...) lower ends.
        upper: (N, ...) upper ends.
        y: (N, ...) outcomes.
        options: How.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an upper end lies below its lower end.
    """
    return _each_output("coverage", covered(lower, upper, y), _proportion, options) + _each_output(
        "width", interval_width(lower, upper), _mean, options
    )


def _each_output(
    name: str, values: Tensor, score: Callable[[str, Tensor, ScoreOptions], Score], options: ScoreOptions
) -> tuple[Score, ...]:
    """One score for each output (column), or a single one if there is one output or they are joint."""
    columns = values.reshape(len(values), -1)
    if options.joint or columns.shape[1] == 1:
        return (score(name, columns if options.joint else columns[:, 0], options),)
    return tuple(replace(score(name, columns[:, d], options), output=d) for d in range(columns.shape[1]))


def _mean(name: str, values: Tensor, options: ScoreOptions) -> Score:
    rows = values.reshape(len(values), -1).mean(1)
    usable = len(rows) > 1 and bool(rows.isfinite().all())
    interval = mean_interval(rows, level=options.level, seed=options.seed) if usable else None
    return Score(name, rows.mean().item(), interval)


def _proportion(name: str, hits: Tensor, options: ScoreOptions) -> Score:
    if hits.ndim > 1 and hits.shape[1:].numel() > 1:
        return _mean(name, hits, options)  # a row of pixels is no coin: its share counts once
    successes = hits.sum().item()
    return Score(name, successes / len(hits), wilson_interval(successes, len(hits), level=options.level))


def _calibration(confidence: Tensor, event: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    bins, level = options.bins, options.level
    width = expected_calibration_error(confidence, event, bins=bins).item()
    mass = debiased_l2_error(confidence, event, bins=bins).item()
    if confidence.numel() < 2:
        return Score("ece", width), Score("ece_l2", mass)
    return (
        Score("ece", width, ece_interval(confidence, event, bins=bins, level=level, seed=options.seed)),
        Score("ece_l2", mass, l2_interval(confidence, event, bins=bins, level=level)),
    )


def _quantiles(name: str, pit: Tensor, options: ScoreOptions) -> Score:
    flat = pit.flatten()
    interval = qce_interval(flat, level=options.level, seed=options.seed) if len(flat) > 1 else None
    return Score(name, quantile_calibration_error(flat).item(), interval)


def _root(score: Score) -> Score:
    if score.interval is None:
        return replace(score, value=math.sqrt(score.value))
    ends = (math.sqrt(max(0.0, end)) for end in (score.interval.lower, score.interval.upper))
    lower, upper = ends
    return replace(
        score, value=math.sqrt(score.value), interval=replace(score.interval, lower=lower, upper=upper)
    )
