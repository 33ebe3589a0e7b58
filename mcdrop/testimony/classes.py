"""Classifications, binary and multilabel predictions, read.

Alphabet: S samples, N rows, C classes, k cases of a row, ... further dimensions.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mcdrop.assessment.readings import Readings, binary_readings, class_readings
from mcdrop.assessment.splits import Described
from mcdrop.shapes import as_column_or_not
from mcdrop.testimony.protocols import Prediction, Testimony, Wanted, row_mean, samples_of
from mcdrop.uncertainty import binary_entropy, entropy, epistemic_entropy

__all__ = ["binary_testimony", "class_parts", "classification_testimony", "largest_probability"]

_SHOWN: Final = 3
_NO_SAMPLES: Final = "the samples were not kept: how many are enough is not known"


def classification_testimony(pred: Prediction, y: Tensor, wanted: Wanted) -> Testimony:
    """Of class probabilities (N, ..., C) and labels.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a label is no class.
    """
    axis, single = _axis(pred), pred.deterministic
    y = as_column_or_not(y, pred.mean.select(axis, 0).shape)
    return _testimony(
        pred,
        y,
        class_readings(pred.mean, y, class_axis=axis),
        None if single is None else class_readings(single, y, class_axis=axis),
        _Words(y, pred.mean.argmax(axis), wanted.classes),
    )


def binary_testimony(pred: Prediction, y: Tensor, wanted: Wanted) -> Testimony:
    """Of probabilities (N, ...) of an event, or of several labels, and outcomes 0 or 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an outcome is not 0 or 1.
    """
    single = pred.deterministic
    names = wanted.classes if pred.task == "binary" else None
    return _testimony(
        pred,
        y,
        binary_readings(pred.mean, y),
        None if single is None else binary_readings(single, y),
        _Words(y, (pred.mean > 0.5).to(torch.int64), names),
    )


@dataclass(frozen=True)
class _Words:
    """Labels (N, ...) and predicted classes (N, ...), and what they are called."""

    y: Tensor
    chosen: Tensor
    classes: Sequence[str] | None

    def outcome(self, row: int) -> str:
        return self._name(self.y[row])

    def prediction(self, row: int) -> str:
        return self._name(self.chosen[row])

    def _name(self, values: Tensor) -> str:
        shown = [self._class(int(value)) for value in values.flatten()[:_SHOWN].tolist()]
        return ", ".join(shown) + (", ..." if values.numel() > _SHOWN else "")

    def _class(self, index: int) -> str:
        known = self.classes is not None and index < len(self.classes)
        return self.classes[index] if known and self.classes is not None else str(index)


def _testimony(
    pred: Prediction, y: Tensor, readings: Readings, single: Readings | None, words: _Words
) -> Testimony:
    parts, samples = class_parts(pred), samples_of(pred)
    terms = None if samples is None else _label_terms(pred, samples.to(torch.float64), y)
    return Testimony(
        pred,
        y,
        readings,
        single,
        parts,
        readings.loss,
        _described(pred, readings, parts, words),
        {} if terms is None else {"nll": (terms, _mean_log_score)},
        notes=(_NO_SAMPLES,) if samples is None else (),
    )


def _described(pred: Prediction, readings: Readings, parts: Mapping[str, Tensor], words: _Words) -> Described:
    confidence = row_mean(largest_probability(pred, pred.mean))
    wrong, epistemic = row_mean(readings.loss), parts.get("epistemic")
    return Described(
        words.outcome,
        words.prediction,
        confidence,
        row_mean(parts["total"]),
        None if epistemic is None else row_mean(epistemic),
        torch.where(wrong > 0, confidence * wrong, -math.inf),
    )


def _axis(pred: Prediction) -> int:
    return int(getattr(pred, "class_axis", -1))


def largest_probability(pred: Prediction, mean: Tensor) -> Tensor:
    """(N, ...) probability of the most probable class."""
    if pred.task == "classification":
        return mean.to(torch.float64).amax(_axis(pred))
    return torch.maximum(mean, 1 - mean).to(torch.float64)


def class_parts(pred: Prediction) -> dict[str, Tensor]:
    """(N, k) nats by name."""
    total = _entropies(pred, pred.mean)
    epistemic = _mutual_information(pred, total)
    flat = total.reshape(len(total), -1)
    if epistemic is None:
        return {"total": flat}
    own = epistemic.to(torch.float64).reshape(len(total), -1)
    return {"total": flat, "aleatoric": (flat - own).clamp(min=0), "epistemic": own}


def _entropies(pred: Prediction, probs: Tensor) -> Tensor:
    if pred.task == "classification":
        return entropy(probs, _axis(pred))
    return binary_entropy(probs.to(torch.float64).clamp(0, 1))


def _mutual_information(pred: Prediction, total: Tensor) -> Tensor | None:
    known = getattr(pred, "mutual_information", None)
    if isinstance(known, Tensor):
        return known
    samples = samples_of(pred)
    if samples is None:
        return None
    if pred.task == "classification":
        axis = _axis(pred)
        each = entropy(samples, axis if axis < 0 else axis + 1)
    else:
        each = binary_entropy(samples.to(torch.float64).clamp(0, 1))
    return epistemic_entropy(total, each.mean(0))


def _label_terms(pred: Prediction, samples: Tensor, y: Tensor) -> Tensor:
    """(S, N, ...) probability that each sample gives to what was observed."""
    if pred.task != "classification":
        return torch.where(y > 0.5, samples, 1 - samples)
    axis = _axis(pred)
    laws = samples.movedim(axis if axis < 0 else axis + 1, -1)
    index = y.to(torch.int64).unsqueeze(0).unsqueeze(-1).expand(*laws.shape[:-1], 1)
    return laws.gather(-1, index).squeeze(-1)


def _mean_log_score(terms: Tensor) -> float:
    return -terms.mean(0).log().mean().item()
