"""Regressions, read: with or without the noise around the samples.

Alphabet: S samples, N rows, D outputs, k cases of a row, ... further dimensions.
"""

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final, cast

import torch
from torch import Tensor

from mcdrop.assessment.diagrams import thinned
from mcdrop.assessment.readings import Readings, regression_readings
from mcdrop.assessment.samples import fitting_rows
from mcdrop.assessment.splits import Described
from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.errors import NotFittedError, SamplesNotKeptError
from mcdrop.rowscores import GaussianMixture
from mcdrop.testimony.protocols import (
    Prediction,
    RegressionPrediction,
    Testimony,
    Wanted,
    row_mean,
    samples_of,
)

__all__ = ["law_of", "regression_parts", "regression_testimony"]

_WHOLE_BLOCKS: Final = 32  # samples from which the CRPS can pair independent blocks of 16
_SHOWN: Final = 3


def regression_testimony(pred: Prediction, y: Tensor, wanted: Wanted) -> Testimony:
    """Of real numbers (N, ...) and outcomes.

    Raises:
        ShapeError: If the shapes differ.
    """
    pred = cast(RegressionPrediction, pred)
    law, ends = law_of(pred), _known_interval(pred, wanted.coverage_level)
    parts = regression_parts(pred, law)
    std = parts.get("total")
    readings = regression_readings(
        pred.mean,
        y,
        law=law,
        std=std,
        interval=ends,
        joint=wanted.joint,
        recalibrate=lambda pit: _recalibrated(pred, pit),
    )
    return Testimony(
        pred,
        y,
        readings,
        _single_readings(pred, y, wanted),
        parts,
        None,
        _described_numbers(pred.mean, y, readings, parts),
        _regression_terms(law, y),
        None if law is None or _level_maps(pred) else lambda level: _intervals_of(law, level),
        law is None or law.noise_std is not None,
        tuple(_regression_notes(pred, law)),
    )


def law_of(pred: RegressionPrediction) -> GaussianMixture | None:
    """The mixture if the samples are at hand."""
    samples = samples_of(pred)
    if samples is None:
        return None
    noise = getattr(pred, "noise_std", None)
    if noise is None and pred.tau is not None:
        noise = pred.tau**-0.5
    return GaussianMixture(samples.to(torch.float64), noise)


def _level_maps(pred: Prediction) -> list[QuantileRecalibration]:
    return [each for each in getattr(pred, "calibrators", ()) if isinstance(each, QuantileRecalibration)]


def _recalibrated(pred: Prediction, pit: Tensor) -> Tensor:
    for each in _level_maps(pred):
        pit = each.recalibrated(pit)
    return pit


def _known_interval(pred: RegressionPrediction, level: float) -> tuple[Tensor, Tensor] | None:
    try:
        return pred.interval(level)
    except (SamplesNotKeptError, NotFittedError):
        return None


def _intervals_of(law: GaussianMixture, level: float) -> tuple[Tensor, Tensor]:
    """Ends of the central intervals of some rows."""
    rows, noise = thinned(law.samples.shape[1]), law.noise()
    return GaussianMixture(law.samples[:, rows], None if noise is None else noise[:, rows]).interval(level)


def regression_parts(pred: RegressionPrediction, law: GaussianMixture | None) -> dict[str, Tensor]:
    """(N, k) standard deviations `total`, `aleatoric`, `epistemic`, as far as they are known.

    Args:
        pred: Its own `std` and `epistemic_std` are taken if it has them.
        law: Its samples and noise.
    """
    parts = {**_parts_of_law(law), **_parts_of_prediction(pred)}
    if "total" not in parts and parts:
        parts["total"] = torch.stack([part.square() for part in parts.values()]).sum(0).sqrt()
    return {name: parts[name] for name in ("total", "aleatoric", "epistemic") if name in parts}


def _parts_of_law(law: GaussianMixture | None) -> dict[str, Tensor]:
    if law is None:
        return {}
    noise, alone = law.noise(), len(law.samples) < 2
    # the parts of a Gaussian from elsewhere are not known
    parts = {} if alone else {"epistemic": _columns(law.samples.std(0))}
    if noise is not None:
        parts["total" if alone else "aleatoric"] = _columns(noise.square().mean(0).sqrt())
    return parts


def _parts_of_prediction(pred: RegressionPrediction) -> dict[str, Tensor]:
    known = {"total": getattr(pred, "std", None), "epistemic": getattr(pred, "epistemic_std", None)}
    return {name: _columns(values) for name, values in known.items() if isinstance(values, Tensor)}


def _columns(values: Tensor) -> Tensor:
    return values.to(torch.float64).reshape(len(values), -1)


def _regression_terms(
    law: GaussianMixture | None, y: Tensor
) -> dict[str, tuple[Tensor, Callable[[Tensor], float]]]:
    if law is None or len(law.samples) < 2:
        return {}
    rows = fitting_rows(law.samples)
    samples, outcomes = law.samples[:, rows], y[rows]
    errors = samples - outcomes
    found: dict[str, tuple[Tensor, Callable[[Tensor], float]]] = {"rmse": (errors, _root_mean_square)}
    if (noise := law.noise()) is not None:
        noise = noise[:, rows]
        logs = -0.5 * (errors / noise).square() - noise.log() - 0.5 * math.log(2 * math.pi)
        return {"nll": (logs, _mixture_log_score), **found}
    return found


def _root_mean_square(errors: Tensor) -> float:
    return errors.mean(0).square().mean().sqrt().item()


def _mixture_log_score(logs: Tensor) -> float:
    return -(logs.logsumexp(0) - math.log(len(logs))).mean().item()


def _single_readings(pred: RegressionPrediction, y: Tensor, wanted: Wanted) -> Readings | None:
    """Of the deterministic pass: a point without noise, a Gaussian around it with noise."""
    single, noise = pred.deterministic, _single_noise(pred)
    if single is None:
        return None
    if noise is None:
        return regression_readings(single, y, law=None, std=None, interval=None, joint=wanted.joint)
    law = GaussianMixture(single.to(torch.float64).unsqueeze(0), noise)
    ends = law.interval(wanted.coverage_level)
    return regression_readings(single, y, law=law, std=None, interval=ends, joint=wanted.joint)


def _single_noise(pred: RegressionPrediction) -> Tensor | float | None:
    """Standard deviation of the noise around the deterministic pass: its own, or that of tau."""
    own = getattr(pred, "deterministic_std", None)
    if isinstance(own, Tensor):
        return own.to(torch.float64)
    return None if pred.tau is None else pred.tau**-0.5


def _described_numbers(mean: Tensor, y: Tensor, readings: Readings, parts: Mapping[str, Tensor]) -> Described:
    total, distance = readings.uncertainty.mean(1), readings.loss.mean(1)
    epistemic = parts.get("epistemic")
    tiny = torch.finfo(torch.float64).tiny
    return Described(
        lambda row: _numbers(y[row]),
        lambda row: _numbers(mean[row]),
        None,
        total,
        None if epistemic is None else row_mean(epistemic),
        torch.where(distance > 0, distance / total.clamp(min=tiny), -math.inf),
    )


def _numbers(values: Tensor) -> str:
    shown = [f"{value:.5g}" for value in values.flatten()[:_SHOWN].tolist()]
    return ", ".join(shown) + (", ..." if values.numel() > _SHOWN else "")


def _regression_notes(pred: RegressionPrediction, law: GaussianMixture | None) -> Iterable[str]:
    if pred.task == "regression" and pred.tau is None and (law is None or law.noise_std is None):
        yield "tau is not fitted: coverage is of the epistemic part alone, and there is no log likelihood"
    if law is None:
        yield "the samples were not kept: there is no CRPS, log likelihood or quantile calibration"
    elif law.noise_std is None and pred.n_samples < _WHOLE_BLOCKS:
        yield f"the CRPS is approximate: {pred.n_samples} samples, fewer than two blocks of 16"
    if law is not None and _level_maps(pred):
        yield "log likelihood and CRPS are of the law before its quantiles were recalibrated"
    if pred.mean.numel() > len(pred.mean):
        yield "several outputs: rows are ranked by std and error, each divided by its mean over the rows"
