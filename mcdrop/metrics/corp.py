"""CORP: the Brier score split by isotonic regression instead of bins, so that nothing has to be chosen.

Brier = miscalibration - discrimination + uncertainty. Miscalibration is what the best monotone recalibration
would gain; refinement, the rest, is Brier - miscalibration.

Alphabet: N rows, C classes.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mcdrop.metrics.reliability import confidence_pairs
from mcdrop.monotone import monotone_values
from mcdrop.shapes import TensorLike, class_labels, classes_last, probability_laws

__all__ = ["BrierSplit", "brier_split", "class_brier_split", "summed_brier_split"]


class BrierSplit(NamedTuple):
    """A Brier score and its parts.

    `brier` = `miscalibration` - `discrimination` + `uncertainty` = `miscalibration` + `refinement`.
    """

    brier: float
    miscalibration: float
    discrimination: float
    uncertainty: float

    @property
    def refinement(self) -> float:
        """The Brier score after the best monotone recalibration."""
        return self.brier - self.miscalibration


def brier_split(confidence: TensorLike, event: TensorLike) -> BrierSplit:
    """The split for probabilities of an event.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.

    Returns:
        The parts, each between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.

    Source:
        Dimitriadis, Gneiting and Jordan 2021, "Stable reliability diagrams for probabilistic classifiers",
        eq. 2.
    """
    confidence, event = confidence_pairs(confidence, event)
    brier = _mean_square(confidence, event)
    recalibrated = _mean_square(monotone_values(confidence, event.unsqueeze(0))[0], event)
    constant = _mean_square(event.mean().expand_as(event), event)
    return BrierSplit(brier, brier - recalibrated, constant - recalibrated, constant)


def class_brier_split(probs: TensorLike, y: TensorLike, *, class_axis: int = -1) -> BrierSplit:
    """The split for class probabilities: that of each class against the rest, summed over the classes.

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        class_axis: Where the classes are.

    Returns:
        The parts; `brier` is the mean of `brier_score`.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.

    Source:
        Dimitriadis, Gneiting and Jordan 2021, "Stable reliability diagrams for probabilistic classifiers",
        eq. 2.
    """
    laws = probability_laws("probs", classes_last(probs, class_axis), "N, ..., C")
    labels = class_labels(y, like=laws.shape[:-1], classes=laws.shape[-1])
    return summed_brier_split(laws, labels)


def summed_brier_split(stated: Tensor, labels: Tensor) -> BrierSplit:
    """The splits of classes against the rest, summed.

    Args:
        stated: (N, ..., C) stated probability of each class.
        labels: (N, ...) which of them came.
    """
    splits = [brier_split(stated[..., c].flatten(), (labels == c).flatten()) for c in range(stated.shape[-1])]
    return BrierSplit(*torch.tensor(splits, dtype=torch.float64, device="cpu").sum(0).tolist())


def _mean_square(p: Tensor, event: Tensor) -> float:
    return (p - event).square().mean().item()
