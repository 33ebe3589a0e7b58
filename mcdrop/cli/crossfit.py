"""What a calibration would do to rows it has not seen: fitted on some folds, judged on the one left out.

The calibrator that is kept is fitted on all rows; these are the scores of its siblings, each fitted on the
other folds, so that no row corrects itself.
"""

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import torch
from torch import Tensor

from mcdrop.calibrating import FewErrorsWarning, calibrate
from mcdrop.calibration.fitted import Calibrator
from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.datafiles import Data
from mcdrop.engine.inputs import arguments_of
from mcdrop.errors import TooFewRowsError
from mcdrop.evaluation import Prediction
from mcdrop.intervals import mean_interval, wilson_interval
from mcdrop.mcdropout import MCDropout
from mcdrop.metrics.regression_calibration import covered, quantile_calibration_error
from mcdrop.predictive import Predictive, RealPredictive
from mcdrop.rowscores import GaussianMixture, pit_of
from mcdrop.scoring import Score

__all__ = ["CLOSE", "LEVEL", "Fit", "Judged", "crossfitted", "fitted", "predicted"]

LEVEL: Final = 0.9
"""Of the intervals whose coverage is shown."""

CLOSE: Final = {
    "vector": frozenset({"vector_scaling"}),
    "isotonic": frozenset({"class_isotonic", "binary_isotonic"}),
}
"""Methods that follow the rows they are fitted on, with the kinds of their calibrators."""
_PROMISING: Final = frozenset({"sets", "selective"})
_ROWS: Final = 256


@dataclass(frozen=True)
class Fit:
    """What is fitted, and how predictions are sampled.

    Attributes:
        methods: In their order.
        options: Level, risk, confidence and digest, for `calibrate`.
        n_samples: None for the checkpoint's.
        seed: None for the checkpoint's.
    """

    methods: tuple[str, ...]
    options: dict[str, Any]
    n_samples: int | None
    seed: int | None

    @property
    def is_halved(self) -> bool:
        """Whether what shapes the law gets one half of the rows, and what promises the other.

        Isotonic maps and vector scaling follow the rows that they are fitted on: sets of 90 % for ten
        classes, fitted on the same 200 and 120 rows, held 80 % and 86 % of new ones. One number, such as a
        temperature, does no such harm, and has all rows.
        """
        return self.promises and not CLOSE.keys().isdisjoint(self.methods)

    @property
    def promises(self) -> bool:
        """Whether something is fitted that must not see rows which were followed closely."""
        return not _PROMISING.isdisjoint(self.methods)


@dataclass(frozen=True)
class Judged:
    """What came of rows that did not correct themselves.

    Attributes:
        pred: All rows, in their order; promises are told apart, in `promises`.
        promises: How the promises were kept.
    """

    pred: Prediction
    promises: tuple[Score, ...]


def predicted(mc: MCDropout, data: Data, fit: Fit, rows: Sequence[int]) -> Predictive:
    """The predictive of some rows, with its samples; each row has the masks that it has among all rows."""
    parts = [
        _prediction(mc, data, fit, list(rows[start : start + _ROWS])) for start in range(0, len(rows), _ROWS)
    ]
    return type(parts[0]).concatenate(parts)


def fitted(mc: MCDropout, data: Data, y: Tensor, fit: Fit, rows: Sequence[int]) -> MCDropout:
    """The model with calibrators that were fitted on these rows, one after the other.

    What promises is fitted on rows that nothing has followed closely (`Fit.is_halved`).
    """
    shaping, promising = _halves(rows) if fit.is_halved else (rows, rows)
    for method in fit.methods:
        part = promising if method in _PROMISING else shaping
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FewErrorsWarning)  # the command says it once, of all rows
                found = calibrate(predicted(mc, data, fit, part), y[list(part)], method, **fit.options)
        except TooFewRowsError as error:
            if not fit.is_halved:
                raise
            raise TooFewRowsError(
                f"{error}, which is one half of {len(rows)}: what promises and what follows its rows closely "
                "are fitted on different ones"
            ) from error
        mc = mc.calibrated(found)
    return mc


def _halves(rows: Sequence[int]) -> tuple[list[int], list[int]]:
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(1), device="cpu").tolist()
    middle = len(rows) // 2
    first, second = (sorted(rows[place] for place in part) for part in (order[:middle], order[middle:]))
    return first, second


def crossfitted(mc: MCDropout, data: Data, y: Tensor, fit: Fit, *, folds: int) -> Judged:
    """Every row, corrected by calibrators that were fitted on the other folds.

    Raises:
        TooFewRowsError: If there are too few rows for so many folds, or too few in the others to fit.
    """
    if len(data) < 2 * folds:
        raise TooFewRowsError(f"{folds} folds need at least {2 * folds} rows, got {len(data)}")
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(0), device="cpu")
    inside = [order[fold::folds] for fold in range(folds)]
    parts: list[Predictive] = []
    for rows in inside:
        others = sorted(set(range(len(data))) - set(rows.tolist()))
        parts.append(predicted(_fitted_on_others(mc, data, y, fit, others), data, fit, rows.tolist()))
    outcomes = [y[rows].to(part.mean.device) for rows, part in zip(inside, parts, strict=True)]
    return Judged(_joined(parts, torch.cat(inside).argsort()), tuple(_promises(parts, outcomes)))


def _fitted_on_others(mc: MCDropout, data: Data, y: Tensor, fit: Fit, others: Sequence[int]) -> MCDropout:
    try:
        return fitted(mc, data, y, fit, others)
    except TooFewRowsError as error:
        rows, left = len(data), len(data) - len(others)
        raise TooFewRowsError(
            f"{error}: the {rows} rows would do, but the table of what changes leaves {left} of them out "
            "at a time; give more rows, or more --folds"
        ) from error


def _prediction(mc: MCDropout, data: Data, fit: Fit, rows: list[int]) -> Predictive:
    by_position, by_name = arguments_of({name: values[rows] for name, values in data.inputs.items()})
    return mc.predict(
        *by_position,
        n_samples=fit.n_samples,
        seed=fit.seed,
        keep_samples=True,
        row_ids=rows if mc.masks == "independent" else None,
        model_kwargs=by_name,
    )


@dataclass(frozen=True)
class _Stitched:
    """The folds of a regression as one prediction: each row with the law of its own fold."""

    task: str
    n_samples: int
    seed: int
    mean: Tensor
    samples: Tensor
    noise_std: Tensor | None
    std: Tensor
    ends: tuple[Tensor, Tensor]
    tau: float | None = None
    deterministic: Tensor | None = None

    def interval(self, _level: float) -> tuple[Tensor, Tensor]:
        """The central interval at `LEVEL`."""
        return self.ends


def _joined(parts: Sequence[Predictive], back: Tensor) -> Prediction:
    """All rows in their order, without calibrators, which differ between the folds."""
    if not isinstance(parts[0], RealPredictive):
        return type(parts[0]).concatenate([replace(part, calibrators=()) for part in parts])[back]
    laws = [part for part in parts if isinstance(part, RealPredictive)]
    lower, upper = zip(*(_law_interval(law) for law in laws), strict=True)
    known = (GaussianMixture(law.samples, law.noise_std).noise() for law in laws)
    noise = [each for each in known if each is not None]
    return _Stitched(
        laws[0].task,
        laws[0].n_samples,
        laws[0].seed,
        torch.cat([law.mean for law in laws])[back],
        torch.cat([law.samples for law in laws], 1)[:, back],
        torch.cat(noise, 1)[:, back] if noise else None,
        torch.cat([law.std for law in laws])[back],
        (torch.cat(lower)[back], torch.cat(upper)[back]),
    )


def _law_interval(law: RealPredictive) -> tuple[Tensor, Tensor]:
    """The interval of the law itself, without what is promised."""
    return replace(law, calibrators=tuple(filter(_moves_quantiles, law.calibrators))).interval(LEVEL)


def _moves_quantiles(calibrator: Calibrator) -> bool:
    return isinstance(calibrator, QuantileRecalibration)


def _promises(parts: Sequence[Any], outcomes: Sequence[Tensor]) -> Iterator[Score]:
    """How promises were kept, over the rows of all folds."""
    known = parts[0].available_outputs()
    pairs = list(zip(parts, outcomes, strict=True))
    if "lower" in known:
        ends = [(part.lower, part.upper, y.reshape(part.lower.shape)) for part, y in pairs]
        yield _share("promised intervals: coverage", torch.cat([covered(*each) for each in ends]))
        yield _mean("promised intervals: width", torch.cat([upper - lower for lower, upper, _ in ends]))
    if "prediction_set" in known:
        held = [part.prediction_set.gather(1, y.long().unsqueeze(1)).squeeze(1) for part, y in pairs]
        yield _share("prediction sets: coverage", torch.cat(held))
        yield _mean("prediction sets: classes", torch.cat([part.prediction_set.sum(1) for part in parts]))
    if "answered" in known:
        answered = torch.cat([part.answered for part in parts])
        wrong = torch.cat([part.label != y for part, y in pairs])
        yield _share("answered: share of rows", answered)
        if bool(answered.any()):
            yield _share("answered: errors", wrong[answered])
    if any(map(_moves_quantiles, parts[0].calibrators)):
        pit = torch.cat([_recalibrated_pit(part, y) for part, y in pairs])
        yield Score(
            "recalibrated quantiles: calibration error", quantile_calibration_error(pit).mean().item()
        )


def _recalibrated_pit(part: RealPredictive, y: Tensor) -> Tensor:
    law = GaussianMixture(part.samples.to(torch.float64), part.noise_std)
    pit = pit_of(law, y.reshape(part.mean.shape))
    for each in part.calibrators:
        pit = each.recalibrated(pit) if isinstance(each, QuantileRecalibration) else pit
    return pit


def _share(name: str, hits: Tensor) -> Score:
    count = hits.double().sum().item()
    return Score(name, count / hits.numel(), wilson_interval(count, hits.numel()))


def _mean(name: str, values: Tensor) -> Score:
    rows = values.double().reshape(len(values), -1).mean(1)
    return Score(name, rows.mean().item(), mean_interval(rows) if bool(rows.isfinite().all()) else None)
