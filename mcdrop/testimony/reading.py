"""A prediction and its outcomes, read by the rules of the task."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final, TypeVar, cast

from torch import Tensor

from mcdrop.errors import OptionError
from mcdrop.shapes import TensorLike, as_column_or_not, float64
from mcdrop.testimony.classes import (
    binary_testimony,
    class_parts,
    classification_testimony,
    largest_probability,
)
from mcdrop.testimony.numbers import law_of, regression_parts, regression_testimony
from mcdrop.testimony.protocols import Prediction, RegressionPrediction, Testimony, Wanted, row_mean

__all__ = ["elsewhere_measures", "on_cpu", "testimony_of"]

_P = TypeVar("_P", bound=Prediction)


def on_cpu(pred: _P) -> _P:
    """The same prediction on the processor.

    Scores are thousands of sums over a few numbers each, of which CUDA takes some in another order each time.
    One that is no dataclass stays where it is.
    """
    held = {name: getattr(pred, name) for name in getattr(pred, "__dataclass_fields__", ())}
    away = {
        name: value.cpu() for name, value in held.items() if isinstance(value, Tensor) and not value.is_cpu
    }
    return cast(_P, replace(cast(Any, pred), **away)) if away else pred


def testimony_of(pred: Prediction, y: TensorLike, wanted: Wanted) -> Testimony:
    """Read a prediction beside its outcomes.

    Args:
        pred: Of N rows.
        y: (N, ...) outcomes.
        wanted: How.

    Raises:
        ShapeError: If `y` does not fit.
        DomainError: If labels are no classes.
        OptionError: If the task has no scores.
    """
    if pred.task not in _TASKS:
        raise OptionError(f"a prediction must be of task {', '.join(_TASKS)} to be scored, got {pred.task!r}")
    pred = on_cpu(pred)
    outcomes = as_column_or_not(float64("y", y).to(pred.mean.device), pred.mean.shape)
    return _TASKS[pred.task](pred, outcomes, wanted)


def elsewhere_measures(pred: Prediction) -> dict[str, Tensor]:
    """(N,) what could tell rows from elsewhere: total and epistemic uncertainty, and the baseline."""
    pred = on_cpu(pred)
    if pred.task in {"regression", "heteroscedastic"}:
        numbers = cast(RegressionPrediction, pred)
        parts = regression_parts(numbers, law_of(numbers))
        return _measured(parts)
    parts = class_parts(pred)
    measures = _measured(parts)
    if pred.deterministic is not None:
        measures["max_probability"] = row_mean(1 - largest_probability(pred, pred.deterministic))
    return measures


def _measured(parts: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: row_mean(values) for name, values in parts.items() if name in {"total", "epistemic"}}


_TASKS: Final[dict[str, Callable[[Prediction, Tensor, Wanted], Testimony]]] = {
    "classification": classification_testimony,
    "binary": binary_testimony,
    "multilabel": binary_testimony,
    "regression": regression_testimony,
    "heteroscedastic": regression_testimony,
}
