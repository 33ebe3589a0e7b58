"""Isotonic calibration: a monotone map of the mean probability, for each class against the rest.

Alphabet: N rows, C classes (last), ... further dimensions.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.errors import ShapeError
from mcdrop.metrics.reliability import confidence_pairs
from mcdrop.monotone import MonotoneMap, fit_monotone
from mcdrop.shapes import TensorLike, check_rows, class_labels, probabilities, probability_laws

__all__ = ["BinaryIsotonic", "ClassIsotonic", "fit_binary_isotonic", "fit_class_isotonic"]

_LEAST_ROWS: Final = 50


@dataclass(frozen=True)
class BinaryIsotonic(Calibrator):
    """A monotone map for P(y = 1).

    Attributes:
        curve: The map.
    """

    kind: ClassVar[str] = "binary_isotonic"

    curve: MonotoneMap

    def apply(self, p: TensorLike) -> Tensor:
        """The calibrated probabilities.

        Args:
            p: (N, ...) mean probabilities of the event.

        Returns:
            (N, ...) between 0 and 1.

        Raises:
            DomainError: If a value lies outside [0, 1].
        """
        return self.curve(probabilities("p", p, "N, ..."))

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"curve": _read_curve(data["curve"])}


@dataclass(frozen=True)
class ClassIsotonic(Calibrator):
    """A monotone map for each class.

    Attributes:
        curves: The maps, in the order of the classes.
    """

    kind: ClassVar[str] = "class_isotonic"

    curves: tuple[MonotoneMap, ...]

    def apply(self, probs: TensorLike) -> Tensor:
        """The calibrated laws: mapped class by class, then made to sum to 1 (uniform where all map to 0).

        Args:
            probs: (N, ..., C) mean class probabilities.

        Returns:
            (N, ..., C) class probabilities.

        Raises:
            ShapeError: If there is another number of classes than at the fit.
            DomainError: If `probs` does not hold probabilities that sum to 1.
        """
        laws = probability_laws("probs", probs, "N, ..., C")
        if laws.shape[-1] != len(self.curves):
            raise ShapeError(f"probs must have {len(self.curves)} classes, got shape {tuple(laws.shape)}")
        mapped = torch.stack([curve(laws[..., c]) for c, curve in enumerate(self.curves)], -1)
        total = mapped.sum(-1, keepdim=True)
        return torch.where(total > 0, mapped / total, torch.full_like(mapped, 1 / len(self.curves)))

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"curves": tuple(_read_curve(curve) for curve in data["curves"])}


def fit_binary_isotonic(
    p: TensorLike, y: TensorLike, *, settings: SamplingSettings | None = None, digest: str | None = None
) -> BinaryIsotonic:
    """The monotone map of the smallest Brier score.

    Args:
        p: (N, ...) mean probabilities of the event, of held-out rows.
        y: (N, ...) outcomes, 0 or 1.
        settings: How the samples were drawn.
        digest: Of the rows; made from `p` and `y` if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.
        TooFewRowsError: If there are fewer than 50 rows.

    Source:
        Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability
        estimates".
    """
    stated, event = confidence_pairs(p, y)
    check_rows(len(stated), needed=_LEAST_ROWS, what="isotonic calibration")
    fitted_with = record(len(stated), settings, digest or data_digest(p, y))
    return BinaryIsotonic(fitted_with, fit_monotone(stated, event))


def fit_class_isotonic(
    probs: TensorLike, y: TensorLike, *, settings: SamplingSettings | None = None, digest: str | None = None
) -> ClassIsotonic:
    """The monotone maps of the smallest Brier score, each class against the rest.

    Args:
        probs: (N, ..., C) mean class probabilities of held-out rows.
        y: (N, ...) labels.
        settings: How the samples were drawn.
        digest: Of the rows; made from `probs` and `y` if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
        TooFewRowsError: If there are fewer than 50 rows.

    Source:
        Zadrozny and Elkan 2002, "Transforming classifier scores into accurate multiclass probability
        estimates".
    """
    laws = probability_laws("probs", probs, "N, ..., C")
    labels = class_labels(y, like=laws.shape[:-1], classes=laws.shape[-1])
    check_rows(len(labels), needed=_LEAST_ROWS, what="isotonic calibration")
    curves = [fit_monotone(*confidence_pairs(laws[..., c], labels == c)) for c in range(laws.shape[-1])]
    return ClassIsotonic(record(len(labels), settings, digest or data_digest(probs, y)), tuple(curves))


def _read_curve(data: dict[str, Sequence[float]]) -> MonotoneMap:
    return MonotoneMap(tuple(data["knots"]), tuple(data["values"]))
