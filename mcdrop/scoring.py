"""The scores of one set of predictions, each with its confidence interval: what a report is made of.

Takes tensors: class probabilities, probabilities of an event, or the law of a regression as samples with
noise. `mcdrop.evaluation` applies these functions twice, to the Monte Carlo prediction and to the
deterministic pass.

Alphabet: S samples, N rows, C classes, D outputs, ... further dimensions. Further dimensions of a row
(pixels, tokens) are not independent: a row's mean counts once in the interval of a mean.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from mcdrop.calibration_intervals import (
    ece_interval,
    ence_interval,
    l2_interval,
    qce_interval,
    smooth_interval,
)
from mcdrop.corp_intervals import split_intervals
from mcdrop.errors import TooFewRowsError
from mcdrop.intervals import Interval, mean_interval, wilson_interval
from mcdrop.metrics.calibration_error import debiased_l2_error, expected_calibration_error
from mcdrop.metrics.corp import summed_brier_split
from mcdrop.metrics.regression_calibration import (
    expected_normalized_calibration_error,
    quantile_calibration_error,
)
from mcdrop.metrics.reliability import bin_index
from mcdrop.metrics.resampling import calibrated_errors, resampling_generator
from mcdrop.metrics.smooth_calibration import calibrated_smooth_errors, smooth_calibration_error
from mcdrop.rowscores import RowScores

__all__ = [
    "FEW_EVENTS",
    "HIGHER_IS_BETTER",
    "Score",
    "ScoreOptions",
    "calibration_scores",
    "overconfidence_score",
    "quantile_scores",
    "root_score",
    "row_score",
    "row_scores",
    "smooth_scores",
    "split_scores",
    "spread_scores",
]

HIGHER_IS_BETTER: Final = frozenset({"accuracy", "coverage", "error_aupr", "error_auroc"})
"""Names of the scores of which more is better; of all others less is."""

FEW_EVENTS: Final = 10
"""With fewer errors, or fewer rows without one, a bootstrap does not know how many there may be."""

_SHARES: Final = frozenset({"accuracy", "coverage"})
_REDRAWN: Final = 200
_SMOOTH_REDRAWN: Final = 200


@dataclass(frozen=True)
class Score:
    """One number about a set of predictions.

    Attributes:
        name: `accuracy`, `nll`, `brier`, `ece`, `ece_l2`, `rmse`, `mae`, `crps`, `coverage`, `width`, `qce`,
            and of the further ones `ece_smooth`, `brier_miscalibration`, `brier_refinement`, `ence`,
            `overconfidence`, `error_auroc`, `error_aupr`, `aurc`, `augrc`.
        value: The number; nats for `nll`, units of the output for `rmse`, `mae`, `crps` and `width`.
        interval: Its confidence interval, or None if there is none (one row, an infinite score, or fewer than
            20 rows in a bin of ENCE).
        output: Which output of the model it is about; None if there is one, or the score is joint.
        reference: What a calibrated prediction would have on average on as many rows, where that is not 0;
            None if it is not known.
    """

    name: str
    value: float
    interval: Interval | None = None
    output: int | None = None
    reference: float | None = None


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


def row_scores(rows: Iterable[RowScores], options: ScoreOptions) -> tuple[Score, ...]:
    """The means over the rows, with their intervals; of squared errors the root."""
    return tuple(row_score(each, options) for each in rows)


def row_score(rows: RowScores, options: ScoreOptions) -> Score:
    """The mean over the rows, with its interval: Wilson's for shares, else a bootstrap's.

    Rows of several pixels or tokens have shares of their own, which are resampled; where these are all alike,
    a bootstrap knows no more than one row, and Wilson's interval, as if a row held one token, is wide enough.
    """
    if rows.proportion or (rows.name in _SHARES and _all_alike(rows.values)):
        hits = rows.values.sum().item()
        interval = wilson_interval(hits, len(rows.values), level=options.level)
        return Score(rows.name, hits / len(rows.values), interval, rows.output)
    score = _mean(rows.name, rows.values, options)
    return replace(root_score(score) if rows.name == "mse" else score, output=rows.output)


def root_score(score: Score) -> Score:
    """The root of a mean of squared errors, with its interval: the `rmse`."""
    interval = score.interval
    if interval is not None:
        lower, upper = (math.sqrt(max(0.0, end)) for end in (interval.lower, interval.upper))
        interval = replace(interval, lower=lower, upper=upper)
    return replace(score, name="rmse", value=math.sqrt(score.value), interval=interval)


def calibration_scores(confidence: Tensor, event: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """ECE and the debiased L2 error of pairs.

    Args:
        confidence: (N, ...) stated probabilities.
        event: (N, ...) outcomes, 0 or 1.
        options: How.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
    """
    bins, level = options.bins, options.level
    width = expected_calibration_error(confidence, event, bins=bins).item()
    mass = debiased_l2_error(confidence, event, bins=bins).item()
    if confidence.numel() < 2:
        return Score("ece", width), Score("ece_l2", mass)
    interval = ece_interval(confidence, event, bins=bins, level=level, seed=options.seed)
    return (
        Score("ece", width, interval, reference=_redrawn_error(confidence, options)),
        Score("ece_l2", mass, l2_interval(confidence, event, bins=bins, level=level)),
    )


def smooth_scores(confidence: Tensor, event: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """Smooth ECE beside its mean on redrawn, hence calibrated, events.

    Args:
        confidence: (N, ...) stated probabilities.
        event: (N, ...) outcomes, 0 or 1.
        options: How.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
    """
    stated = confidence.to(torch.float64).flatten().cpu()
    redrawn = calibrated_smooth_errors(
        stated.clamp(0, 1), _SMOOTH_REDRAWN, resampling_generator(options.seed)
    )
    value = smooth_calibration_error(confidence, event)
    interval = (
        smooth_interval(stated, event.flatten(), level=options.level, seed=options.seed)
        if len(stated) > 1
        else None
    )
    return (Score("ece_smooth", value, interval, reference=redrawn.mean().item()),)


def split_scores(stated: Tensor, labels: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """The two parts of a Brier score: what monotone recalibration would gain, and what would remain.

    Args:
        stated: (N, k, C) stated probability of each class.
        labels: (N, k) which of them came.
        options: How.
    """
    split = summed_brier_split(stated, labels)
    known = len(stated) > 1
    first, second = (
        split_intervals(stated, labels, level=options.level, seed=options.seed) if known else (None, None)
    )
    return (
        Score("brier_miscalibration", max(0.0, split.miscalibration), first),
        Score("brier_refinement", split.refinement, second),
    )


def overconfidence_score(confidence: Tensor, event: Tensor, options: ScoreOptions) -> Score:
    """Mean stated probability minus share of events: above 0 the prediction promises too much.

    A bootstrap of rows without an error cannot show one, and would call a good classifier under-confident.
    With fewer than ten events of either kind the interval is therefore widened to what Wilson's interval of
    the share allows.

    Args:
        confidence: (N, ...) stated probabilities.
        event: Outcomes 0 or 1 of the same rows.
        options: How.
    """
    stated = confidence.to(torch.float64).reshape(len(confidence), -1).mean(1)
    came = event.to(torch.float64).reshape(len(confidence), -1).mean(1)
    score = _mean("overconfidence", stated - came, options)
    hits = came.sum().item()
    if score.interval is None or min(hits, len(came) - hits) >= FEW_EVENTS:
        return score
    share, mean = wilson_interval(hits, len(came), level=options.level), stated.mean().item()
    lower = min(score.interval.lower, mean - share.upper)
    upper = max(score.interval.upper, mean - share.lower)
    return replace(score, interval=Interval(lower, upper, options.level, "BCa bootstrap or Wilson"))


def quantile_scores(pit: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """Error of quantile calibration.

    Args:
        pit: (N, ...) PIT values.
        options: How.
    """
    columns = pit.reshape(len(pit), -1)
    if options.joint or columns.shape[1] == 1:
        return (_quantiles(columns.flatten(), options),)
    outputs = range(columns.shape[1])
    return tuple(replace(_quantiles(columns[:, d], options), output=d) for d in outputs)


def spread_scores(std: Tensor, error: Tensor, options: ScoreOptions) -> tuple[Score, ...]:
    """ENCE beside what right standard deviations would have; none where a std is 0 or there is one row.

    Args:
        std: (N, ...) predicted standard deviations.
        error: (N, ...) outcome minus prediction.
        options: How.
    """
    spreads, errors = std.reshape(len(std), -1), error.reshape(len(std), -1)
    if len(std) < 2 or bool((spreads <= 0).any()):
        return ()
    outputs = range(spreads.shape[1])
    found = tuple(_ence(spreads[:, d], errors[:, d], options) for d in outputs)
    return found if len(outputs) == 1 else tuple(replace(found[d], output=d) for d in outputs)


def _mean(name: str, values: Tensor, options: ScoreOptions) -> Score:
    usable = len(values) > 1 and bool(values.isfinite().all())
    interval = mean_interval(values, level=options.level, seed=options.seed) if usable else None
    return Score(name, values.mean().item(), interval)


def _all_alike(values: Tensor) -> bool:
    return bool((values == values[0]).all())


def _redrawn_error(confidence: Tensor, options: ScoreOptions) -> float:
    flat = confidence.to(torch.float64).flatten().clamp(0, 1)
    index = bin_index(flat, bins=options.bins, binning="equal_width")
    generator = resampling_generator(options.seed)
    return calibrated_errors(flat, index, options.bins, _REDRAWN, generator).mean().item()


def _ence(std: Tensor, error: Tensor, options: ScoreOptions) -> Score:
    bins, seed = options.bins, options.seed
    found = expected_normalized_calibration_error(std, error, bins=bins, seed=seed)
    try:
        interval = ence_interval(std, error, bins=bins, level=options.level, seed=seed)
    except TooFewRowsError:
        interval = None
    return Score("ence", found.value, interval, reference=found.reference)


def _quantiles(pit: Tensor, options: ScoreOptions) -> Score:
    interval = qce_interval(pit, level=options.level, seed=options.seed) if len(pit) > 1 else None
    return Score("qce", quantile_calibration_error(pit).item(), interval)
