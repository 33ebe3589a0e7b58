"""`calibrate`: a calibrator by the name of its method, fitted on a prediction and its outcomes.

Alphabet: S samples, N rows, C classes, ... further dimensions.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import torch
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest
from mcdrop.calibration.isotonic import fit_binary_isotonic, fit_class_isotonic
from mcdrop.calibration.noise_precision import fit_noise_precision
from mcdrop.calibration.platt import fit_platt_scaling
from mcdrop.calibration.quantile_recalibration import fit_quantile_recalibration
from mcdrop.calibration.std_scaling import fit_level_std_scaling, fit_std_scaling
from mcdrop.calibration.temperature import fit_temperature
from mcdrop.calibration.vector_scaling import fit_vector_scaling
from mcdrop.conformal import conformal_rows, fit_adaptive_sets, fit_conformal_intervals
from mcdrop.conformal_quantiles import fit_conformal_quantiles
from mcdrop.errors import InputError, OptionError, ShapeError
from mcdrop.metrics.regression_calibration import pit_mixture, pit_samples
from mcdrop.predictive import (
    BinaryPredictive,
    ClassificationPredictive,
    MultilabelPredictive,
    Predictive,
    RealPredictive,
    RegressionPredictive,
)
from mcdrop.predictive.calibrated import sampling_settings, shaping
from mcdrop.predictive.entropies import LabelPredictive
from mcdrop.scoring import FEW_EVENTS
from mcdrop.selective import fit_selective_threshold
from mcdrop.shapes import (
    TensorLike,
    as_column_or_not,
    check_fraction,
    check_rows,
    class_labels,
    event_labels,
    float64,
)
from mcdrop.testimony import on_cpu

__all__ = ["FROM_ERRORS", "METHODS", "FewErrorsWarning", "Method", "calibrate"]

FROM_ERRORS: Final = frozenset({"temperature", "vector", "platt", "isotonic"})
"""Methods for which rows that are wrong count for most."""


class FewErrorsWarning(UserWarning):
    """A calibrator was fitted to probabilities of rows of which hardly any is wrong."""


@dataclass(frozen=True)
class Asked:
    """What is asked of a fit.

    Attributes:
        level: Promised coverage.
        risk: Promised bound of the errors among the answers.
        confidence: With which it holds.
        settings: How the prediction was sampled.
        digest: Of the rows.
    """

    level: float
    risk: float
    confidence: float
    settings: SamplingSettings
    digest: str


@dataclass(frozen=True)
class Method:
    """A way to calibrate.

    Attributes:
        tasks: That it is for.
        summary: What it does, in a few words.
        fit: From a prediction, its outcomes in the shape that the task wants, and what is asked.
    """

    tasks: frozenset[str]
    summary: str
    fit: Callable[[Any, Tensor, Asked], Calibrator]


def calibrate(
    pred: Predictive,
    y: TensorLike,
    method: str,
    *,
    level: float = 0.9,
    risk: float = 0.05,
    confidence: float = 0.9,
    digest: str | None = None,
) -> Calibrator:
    """A calibrator for predictions that are sampled like this one; it is fitted on the processor.

    Args:
        pred: Prediction of rows that the network was not trained on, nor `isotonic` or `vector` fitted on if
            something is promised (`sets`, `selective`); most methods need its samples.
        y: (N, ...) their outcomes.
        method: `temperature`, `vector`, `platt`, `isotonic`, `tau`, `std`, `std-levels`, `quantiles`,
            `conformal`, `conformal-quantiles`, `sets` or `selective`.
        level: Coverage that `conformal`, `conformal-quantiles` and `sets` promise.
        risk: Share of errors among the answers that `selective` promises not to exceed.
        confidence: With which it promises that.
        digest: Of the rows; made from the prediction's mean and `y` if it is not given.

    Returns:
        The calibrator, for `MCDropout.calibrated`; it records how the prediction was sampled.

    Warns:
        FewErrorsWarning: If fewer than ten rows are wrong and the method is fitted to probabilities.

    Raises:
        InputError: If `pred` is not of MCDropout.
        OptionError: If there is no such method for the task.
        SamplesNotKeptError: If the samples are needed and were dropped.
        TooFewRowsError: If there are too few rows; says how many are needed.
        ShapeError: If the outcomes do not fit.
        DomainError: If an outcome is none.
    """
    if not isinstance(pred, Predictive):
        raise InputError(
            f"calibrate takes a prediction of MCDropout, got {type(pred).__name__}; arrays of other tools "
            "are calibrated by the functions fit_... of mcdrop.calibration, .conformal and .selective"
        )
    known = {name: each for name, each in METHODS.items() if pred.task in each.tasks}
    if method not in known:
        names = ", ".join(known) or "none"
        raise OptionError(f"methods for the task {pred.task} are {names}; got {method!r}")
    pred = on_cpu(pred)
    made = digest or data_digest(pred.mean, float64("y", y))
    asked = Asked(level, risk, confidence, sampling_settings(pred.sampled), made)
    outcomes = as_column_or_not(float64("y", y).to(pred.mean.device), pred.mean.shape)
    found = known[method].fit(pred, outcomes, asked)
    if method in FROM_ERRORS:
        of_labels = cast(BinaryPredictive | ClassificationPredictive | MultilabelPredictive, pred)
        _tell_of_few_errors(method, of_labels.label, outcomes)
    return replace(found, fitted_with=replace(found.fitted_with, behind=shaping(pred.calibrators)))


def _tell_of_few_errors(method: str, label: Tensor, y: Tensor) -> None:
    wrong = int((label != y.reshape(label.shape)).sum())
    if wrong < FEW_EVENTS:
        warnings.warn(
            f"{method} rests on the rows that are wrong, and {wrong} of {y.numel()} are: judge what it gives "
            "on other rows before you rely on it",
            FewErrorsWarning,
            stacklevel=3,
        )


def _temperature(pred: LabelPredictive, y: Tensor, asked: Asked) -> Calibrator:
    return fit_temperature(_class_samples(pred), y, settings=asked.settings, digest=asked.digest)


def _vector(pred: LabelPredictive, y: Tensor, asked: Asked) -> Calibrator:
    return fit_vector_scaling(_class_samples(pred), y, settings=asked.settings, digest=asked.digest)


def _platt(pred: LabelPredictive, y: Tensor, asked: Asked) -> Calibrator:
    return fit_platt_scaling(pred.samples, y, settings=asked.settings, digest=asked.digest)


def _isotonic(pred: LabelPredictive, y: Tensor, asked: Asked) -> Calibrator:
    if isinstance(pred, ClassificationPredictive):
        return fit_class_isotonic(_class_mean(pred), y, settings=asked.settings, digest=asked.digest)
    return fit_binary_isotonic(pred.mean, y, settings=asked.settings, digest=asked.digest)


def _tau(pred: RegressionPredictive, y: Tensor, asked: Asked) -> Calibrator:
    if pred.scale is not None:
        raise OptionError("tau shapes the law that factors stretch: fit tau before std or std-levels")
    return fit_noise_precision(pred.samples, y, settings=asked.settings, digest=asked.digest)


def _std(pred: RealPredictive, y: Tensor, asked: Asked) -> Calibrator:
    return fit_std_scaling(pred.mean, pred.std, y, settings=asked.settings, digest=asked.digest)


def _std_levels(pred: RealPredictive, y: Tensor, asked: Asked) -> Calibrator:
    return fit_level_std_scaling(pred.mean, pred.std, y, settings=asked.settings, digest=asked.digest)


def _quantiles(pred: RealPredictive, y: Tensor, asked: Asked) -> Calibrator:
    noise, law = pred.noise_std, pred.samples
    pit = (
        pit_samples(law, y)
        if noise is None
        else pit_mixture(law, torch.as_tensor(noise, device=law.device), y)
    )
    return fit_quantile_recalibration(pit, settings=asked.settings, digest=asked.digest)


def _conformal(pred: RealPredictive, y: Tensor, asked: Asked) -> Calibrator:
    _check_promise(len(pred), asked.level, "conformal intervals")
    return fit_conformal_intervals(
        pred.mean, pred.std, y, level=asked.level, settings=asked.settings, digest=asked.digest
    )


def _conformal_quantiles(pred: RealPredictive, y: Tensor, asked: Asked) -> Calibrator:
    _check_promise(len(pred), asked.level, "conformal intervals")
    low, high = pred.quantile(((1 - asked.level) / 2, (1 + asked.level) / 2))
    return fit_conformal_quantiles(
        low, high, y, level=asked.level, settings=asked.settings, digest=asked.digest
    )


def _sets(pred: ClassificationPredictive, y: Tensor, asked: Asked) -> Calibrator:
    """Not randomised: rows that are served one by one would all get the draw of row 0."""
    _check_one_label(pred, "prediction sets are")
    probs, level = _class_mean(pred), asked.level
    _check_promise(len(pred), level, "prediction sets")
    return fit_adaptive_sets(
        probs, y, level=level, randomized=False, settings=asked.settings, digest=asked.digest
    )


def _selective(pred: ClassificationPredictive | BinaryPredictive, y: Tensor, asked: Asked) -> Calibrator:
    _check_one_label(pred, "selective prediction is")
    return fit_selective_threshold(
        pred.total_entropy,
        (pred.label != _labels(pred, y)).to(torch.float64),
        risk=asked.risk,
        confidence=asked.confidence,
        settings=asked.settings,
        digest=asked.digest,
    )


def _labels(pred: ClassificationPredictive | BinaryPredictive, y: Tensor) -> Tensor:
    """(N,) checked labels."""
    rows = pred.label.shape
    if isinstance(pred, BinaryPredictive):
        return event_labels(y, like=rows)
    return class_labels(y, like=rows, classes=pred.mean.shape[pred.class_axis])


def _check_one_label(pred: LabelPredictive, what: str) -> None:
    if pred.total_entropy.dim() != 1:
        raise ShapeError(f"{what} for rows of one label, got labels {tuple(pred.total_entropy.shape)}")


def _check_promise(rows: int, level: float, what: str) -> None:
    """Refuse a promise that only unbounded intervals, or sets of every class, would keep."""
    check_fraction("level", level)
    check_rows(rows, needed=conformal_rows(level), what=f"a promise of {what} at level {level:g}")


def _class_samples(pred: LabelPredictive) -> Tensor:
    """(S, N, ..., C)."""
    axis = cast(ClassificationPredictive, pred).class_axis
    return pred.samples.movedim(axis + 1 if axis >= 0 else axis, -1)


def _class_mean(pred: LabelPredictive) -> Tensor:
    """(N, ..., C)."""
    return pred.mean.movedim(cast(ClassificationPredictive, pred).class_axis, -1)


_CLASSES: Final = frozenset({"classification"})
_EVENTS: Final = frozenset({"binary", "multilabel"})
_NUMBERS: Final = frozenset({"regression", "heteroscedastic"})

METHODS: Final[dict[str, Method]] = {
    "temperature": Method(_CLASSES, "one temperature, inside the average", _temperature),
    "vector": Method(_CLASSES, "a slope and an offset for each class", _vector),
    "platt": Method(_EVENTS, "a slope and an offset for the log odds", _platt),
    "isotonic": Method(_CLASSES | _EVENTS, "a staircase", _isotonic),
    "tau": Method(frozenset({"regression"}), "the noise around the samples", _tau),
    "std": Method(_NUMBERS, "one factor for the standard deviation", _std),
    "std-levels": Method(_NUMBERS, "a factor for each level of it", _std_levels),
    "quantiles": Method(_NUMBERS, "a map between levels of quantiles", _quantiles),
    "conformal": Method(_NUMBERS, "intervals that hold, around the mean", _conformal),
    "conformal-quantiles": Method(
        _NUMBERS, "intervals that hold, around two quantiles", _conformal_quantiles
    ),
    "sets": Method(_CLASSES, "sets of classes that hold the label", _sets),
    "selective": Method(_CLASSES | {"binary"}, "answers with few errors", _selective),
}
"""Every method by its name."""
