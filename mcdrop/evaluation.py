"""`evaluate`: predictions and outcomes become a report, of numbers with their confidence intervals.

The report holds the Monte Carlo prediction's scores beside those of the deterministic pass. It is data: how
it looks is the business of `mcdrop.report`. Predictions are taken by their attributes (the protocols
below), so those of other tools will do.

Alphabet: S samples, N rows, C classes, D outputs, ... further dimensions.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, cast

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.accumulation import accumulated
from mcdrop.assessment.diagrams import (
    confidence_histogram,
    pit_histograms,
    quantile_curve,
    reliability_curve,
    spread_points,
    width_points,
)
from mcdrop.assessment.elsewhere import elsewhere_histograms, elsewhere_scores
from mcdrop.assessment.groups import group_names, group_scores
from mcdrop.assessment.pairs import differences
from mcdrop.assessment.rankings import ranking_scores, risk_points, threshold_choices
from mcdrop.assessment.readings import Readings, further_of, scores_of
from mcdrop.assessment.sections import RowValues
from mcdrop.assessment.splits import standing_out, uncertainty_parts
from mcdrop.assessment.verdict import VOID, Evidence, verdict
from mcdrop.calibration.fitted import data_digest
from mcdrop.errors import DomainError, InputError, OptionError, ShapeError
from mcdrop.metrics.calibration_tests import consistency_test, uniformity_test
from mcdrop.scorecard import Report
from mcdrop.scoring import ScoreOptions
from mcdrop.shapes import TensorLike, check_fraction, float64
from mcdrop.testimony import (
    Prediction,
    RegressionPrediction,
    Testimony,
    Wanted,
    elsewhere_measures,
    testimony_of,
)

__all__ = ["Prediction", "RegressionPrediction", "Report", "evaluate"]

_FEW_ROWS: Final = 100
_FEW_IN_GROUP: Final = 30
_FEW_ERRORS: Final = 10
_FEW_IN_BIN: Final = 10
_KEPT_ROWS: Final = 50_000
_ASKED_OF_PREDICTIONS: Final = ("task", "n_samples", "seed", "mean", "deterministic")


def evaluate(
    pred: Prediction | Iterable[tuple[Prediction, TensorLike]],
    y: TensorLike | None = None,
    *,
    bins: int = 15,
    level: float = 0.95,
    coverage_level: float = 0.9,
    seed: int = 0,
    joint: bool = False,
    before: Prediction | None = None,
    groups: Sequence[Any] | NDArray[Any] | Tensor | None = None,
    group_by: str | None = None,
    elsewhere: Prediction | None = None,
    classes: Sequence[str] | None = None,
    facts: Mapping[str, str] | None = None,
) -> Report:
    """Score predictions against outcomes, on the processor wherever the predictions are.

    Args:
        pred: Predictions of N rows; or, without `y`, pairs of predictions and outcomes, batch by batch, of
            which no row is kept: `((mc.predict(x), y) for x, y in loader)`.
        y: (N, ...) labels, outcomes 0 or 1, or real values, in the shape of the prediction's mean without the
            class axis; (N,) will do for a mean of (N, 1), and the other way round.
        bins: Of the calibration errors.
        level: Confidence of the intervals.
        coverage_level: Nominal coverage of the prediction intervals to check.
        seed: Of the resampling behind the intervals.
        joint: Whether the outputs of a regression are averaged into one score instead of scored each.
        before: The same rows predicted without calibration, to compare with.
        groups: (N,) to which group each row belongs; of a number with many values the quarters are taken.
        group_by: What the groups are values of.
        elsewhere: Predictions of rows from another distribution, which should be less sure.
        classes: Names of the classes.
        facts: What the report should say about data and model, by name.

    Returns:
        The report.

    Raises:
        InputError: If `pred` is no prediction, such as a bare array.
        ShapeError: If `y`, `before` or `groups` do not fit the prediction.
        DomainError: If labels are no classes, or a value is NaN.
        OptionError: If the task has no scores (`raw`), there are too many groups, or batches come with
            options that need all rows at once.
    """
    check_fraction("level", level)
    check_fraction("coverage_level", coverage_level)
    options = ScoreOptions(bins, level, seed, joint)
    if y is None:
        whole = {"before": before, "groups": groups, "elsewhere": elsewhere}
        return replace(accumulated(_pairs(pred, whole), options, coverage_level), facts=dict(facts or {}))
    for each in (pred, *(other for other in (before, elsewhere) if other is not None)):
        _check_prediction(each)
    pred = cast(Prediction, pred)
    _check_lengths(pred, y)
    said = testimony_of(pred, y, Wanted(coverage_level, joint, classes))
    asked = _Asked(options, coverage_level, before, groups, group_by, elsewhere)
    return _report(said, asked, dict(facts or {}), data_digest(float64("y", y)))


@dataclass(frozen=True)
class _Asked:
    options: ScoreOptions
    coverage_level: float
    before: Prediction | None
    groups: Sequence[Any] | NDArray[Any] | Tensor | None
    group_by: str | None
    elsewhere: Prediction | None


def _report(said: Testimony, asked: _Asked, facts: dict[str, str], digest: str) -> Report:
    options = asked.options
    parts: dict[str, Any] = {
        **_scores(said, options),
        **_calibration(said, options),
        **_ranking(said, options),
        **_before(said, asked),
        **_groups(said, asked),
        **_elsewhere(said, asked),
        "uncertainty": uncertainty_parts(said.parts, said.wrong),
        "rows": standing_out(said.described),
        "samples": said.samples_points(),
        "row_values": _row_values(said.readings),
    }
    notes = (*_general_notes(said), *_thin_notes(said, parts), *said.notes)
    found = verdict(_evidence(said, asked, parts))
    return Report(
        task=said.task,
        n_rows=said.n_rows,
        n_samples=said.n_samples,
        seed=said.seed,
        level=options.level,
        coverage_level=asked.coverage_level,
        bins=options.bins,
        group_by=asked.group_by,
        notes=notes,
        verdict=found,
        outcomes_digest=digest,
        facts=facts,
        **parts,
    )


def _scores(said: Testimony, options: ScoreOptions) -> dict[str, Any]:
    single = said.single
    return {
        "scores": scores_of(said.readings, options),
        "deterministic": () if single is None else scores_of(single, options),
        "against_deterministic": ()
        if single is None
        else differences(said.readings.rows, single.rows, options),
    }


def _calibration(said: Testimony, options: ScoreOptions) -> dict[str, Any]:
    """Curve, histogram and test of the kind that the task has."""
    readings = said.readings
    if readings.pairs is not None:
        confidence, event = (part.flatten() for part in readings.pairs)
        test = consistency_test(confidence, event, bins=options.bins, seed=options.seed)
        return {
            "curve": reliability_curve(confidence, event, options),
            "histograms": (confidence_histogram(confidence),),
            "calibration_p_value": test.p_value,
        }
    return {**_quantiles(said, options), "spreads": _spreads(readings, options)}


def _quantiles(said: Testimony, options: ScoreOptions) -> dict[str, Any]:
    pit = said.readings.pit
    if pit is None:
        return {"curve": (), "calibration_p_value": None}
    return {
        "curve": quantile_curve(pit, options),
        "histograms": pit_histograms(pit, options),
        "widths": () if said.interval is None else width_points(pit, said.interval, options),
        "calibration_p_value": uniformity_test(pit.flatten()).p_value if pit.shape[1] == 1 else None,
    }


def _spreads(readings: Readings, options: ScoreOptions) -> Any:
    if readings.std is None or readings.error is None:
        return ()
    return spread_points(readings.std, readings.error, options)


def _ranking(said: Testimony, options: ScoreOptions) -> dict[str, Any]:
    found = _further(said.readings, options)
    cases = said.readings.uncertainty.flatten(), said.readings.loss.flatten()
    parts: dict[str, Any] = {"further": found, "further_deterministic": ()}
    if said.readings.std is not None or said.readings.events:
        parts["risk"] = risk_points(*cases)
        parts["choices"] = threshold_choices(*cases, options, events=said.readings.events)
    if said.single is not None and said.single.events:
        parts["further_deterministic"] = _further(said.single, options)
        parts["risk_deterministic"] = risk_points(
            said.single.uncertainty.flatten(), said.single.loss.flatten()
        )
    return parts


def _further(readings: Readings, options: ScoreOptions) -> Any:
    if not readings.events and readings.std is None:
        return further_of(readings, options)
    ranking = ranking_scores(
        readings.uncertainty.flatten(),
        readings.loss.flatten(),
        options,
        events=readings.events,
        independent=readings.uncertainty.shape[1] == 1,
    )
    return further_of(readings, options) + ranking


def _before(said: Testimony, asked: _Asked) -> dict[str, Any]:
    if asked.before is None:
        return {}
    if len(asked.before.mean) != said.n_rows:
        raise ShapeError(
            f"before must be a prediction of the same {said.n_rows} rows, got {len(asked.before.mean)}"
        )
    old = testimony_of(asked.before, said.y, Wanted(asked.coverage_level, asked.options.joint, None))
    return {
        "before": scores_of(old.readings, asked.options),
        "against_before": differences(said.readings.rows, old.readings.rows, asked.options),
    }


def _groups(said: Testimony, asked: _Asked) -> dict[str, Any]:
    if asked.groups is None:
        return {}
    values = asked.groups.cpu().numpy() if isinstance(asked.groups, Tensor) else asked.groups
    names = group_names(values, rows=said.n_rows)
    return {"groups": group_scores(names, said.readings.rows, said.readings.pairs, asked.options)}


def _elsewhere(said: Testimony, asked: _Asked) -> dict[str, Any]:
    if asked.elsewhere is None:
        return {}
    if asked.elsewhere.task != said.task:
        raise OptionError(
            f"rows from elsewhere must be predicted as {said.task}, got {asked.elsewhere.task!r}"
        )
    inside, outside = elsewhere_measures(said.pred), elsewhere_measures(asked.elsewhere)
    return {
        "elsewhere": elsewhere_scores(inside, outside, asked.options),
        "elsewhere_histograms": elsewhere_histograms(inside["total"], outside["total"])
        if "total" in inside
        else (),
    }


def _row_values(readings: Readings) -> tuple[RowValues, ...]:
    if len(readings.loss) > _KEPT_ROWS:
        return ()
    return tuple(
        RowValues(each.name, tuple(each.values.tolist()), each.proportion, each.output)
        for each in readings.rows
    )


def _evidence(said: Testimony, asked: _Asked, parts: Mapping[str, Any]) -> Evidence:
    return Evidence(
        n_rows=said.n_rows,
        n_samples=said.n_samples,
        level=asked.options.level,
        coverage_level=asked.coverage_level,
        scores=parts["scores"] + parts["further"],
        p_value=parts["calibration_p_value"],
        differences=parts["against_deterministic"],
        samples=parts["samples"],
        void=tuple(note for note in getattr(said.pred, "notes", ()) if note.startswith(VOID)),
        noise_known=said.noise_known,
    )


def _general_notes(said: Testimony) -> Iterable[str]:
    if said.n_rows < _FEW_ROWS:
        rows = "1 row" if said.n_rows == 1 else f"{said.n_rows} rows"
        yield f"only {rows}: read the intervals, not the numbers"
    yield from getattr(said.pred, "notes", ())


def _thin_notes(said: Testimony, parts: Mapping[str, Any]) -> Iterable[str]:
    """Which numbers rest on too few rows."""
    if said.wrong is not None and int(said.wrong.sum()) < _FEW_ERRORS:
        errors = int(said.wrong.sum())
        known = f"the ranking of errors and the thresholds rest on {errors} of them"
        yield known if errors else "no prediction is wrong, so that the ranking of errors says nothing"
    thin = sum(point.count < _FEW_IN_BIN for point in parts["curve"])
    if thin:
        points = f"{thin} of {len(parts['curve'])} points of the calibration curve"
        yield f"{points} rest on fewer than {_FEW_IN_BIN} rows"
    small = [each.group for each in parts.get("groups", ()) if each.n_rows < _FEW_IN_GROUP]
    if small:
        yield f"groups of fewer than {_FEW_IN_GROUP} rows: {', '.join(small)}"
    if said.n_rows > _KEPT_ROWS:
        yield f"scores of single rows are kept up to {_KEPT_ROWS} rows: this report cannot be compared by row"


def _pairs(
    pred: Prediction | Iterable[tuple[Prediction, TensorLike]], whole: Mapping[str, object]
) -> Iterable[tuple[Prediction, TensorLike]]:
    """The batches, if they are batches and nothing is asked that needs all rows at once."""
    if isinstance(pred, Tensor | np.ndarray) or not (hasattr(pred, "mean") or isinstance(pred, Iterable)):
        _check_prediction(pred)
    if hasattr(pred, "mean"):
        raise OptionError("a prediction is scored against outcomes: evaluate(pred, y); got no y")
    asked = [name for name, value in whole.items() if value is not None]
    if asked:
        raise OptionError(f"{' and '.join(asked)} need all rows at once; got batches")
    return _checked(pred)


def _checked(
    pairs: Iterable[tuple[Prediction, TensorLike]],
) -> Iterable[tuple[Prediction, TensorLike]]:
    for pair in cast(Iterable[Any], pairs):
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise InputError(
                f"batches must be pairs of a prediction and its outcomes, got {type(pair).__name__}"
            )
        pred, y = pair
        _check_prediction(pred)
        _check_lengths(pred, y)
        yield pred, y


def _check_prediction(pred: object) -> None:
    """Refuse what has not the attributes of a prediction; says how to wrap arrays of another tool."""
    lacking = [name for name in _ASKED_OF_PREDICTIONS if not hasattr(pred, name)]
    if lacking:
        raise InputError(
            "evaluate takes a prediction: of MCDropout.predict, of mcdrop.load_predictions, or arrays of "
            "another tool wrapped by mcdrop.as_predictions(samples=...), (probabilities=...) or (mean=..., "
            f"std=...); got {type(pred).__name__}, which has no {', '.join(lacking)}"
        )


def _check_lengths(pred: Prediction, y: TensorLike) -> None:
    rows, shape = len(pred.mean), tuple(float64("y", y).shape)
    if rows == 0:
        raise DomainError("a prediction must have at least one row to be scored, got 0")
    if not shape or shape[0] != rows:
        raise ShapeError(f"y must have a value for each of the {rows} rows, got shape {shape}")
    wanted = tuple(pred.mean.shape)
    if pred.task == "regression" and len(shape) < len(wanted) and wanted[-1] > 1:
        raise ShapeError(
            f"y must have shape {wanted}, one outcome for each output, got shape {shape}; if they are "
            "classes, give probabilities that sum to 1, not logits"
        )
