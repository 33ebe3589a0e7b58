"""Scores of class probabilities: one value per row, so that means, intervals and groups follow.

The score of a data set is the mean over its rows: `negative_log_likelihood(probs, y).mean()`.

Alphabet: N rows, C classes (last unless `class_axis` says otherwise), L labels, ... further dimensions.
`probs` is the mean law over the samples; `binary_*` take the probability of the event, and each label of many
is an event of its own.
"""

import torch
from torch import Tensor

from mcdrop.shapes import (
    TensorLike,
    class_labels,
    classes_last,
    event_labels,
    probabilities,
    probability_laws,
)

__all__ = [
    "accuracy",
    "binary_brier_score",
    "binary_correct",
    "binary_negative_log_likelihood",
    "brier_score",
    "correct",
    "multilabel_brier_score",
    "negative_log_likelihood",
]


def correct(probs: TensorLike, y: TensorLike, *, class_axis: int = -1) -> Tensor:
    """Whether the most probable class is the label; of equally probable classes the first counts.

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        class_axis: Where the classes are.

    Returns:
        (N, ...) 1.0 or 0.0.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
    """
    laws, labels = _laws_and_labels(probs, y, class_axis)
    return (laws.argmax(-1) == labels).to(torch.float64)


def accuracy(probs: TensorLike, y: TensorLike, *, class_axis: int = -1) -> Tensor:
    """Share of rows whose most probable class is the label.

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        class_axis: Where the classes are.

    Returns:
        () between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
    """
    return correct(probs, y, class_axis=class_axis).mean()


def negative_log_likelihood(probs: TensorLike, y: TensorLike, *, class_axis: int = -1) -> Tensor:
    """Logarithmic score: -log of the probability of the label. Nothing is clipped.

    Of the mean over S samples it is high by about Var(mean p_y) / (2 p_y^2).

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        class_axis: Where the classes are.

    Returns:
        (N, ...) nats, from 0 to infinity (a label of probability 0).

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.

    Source:
        Good 1952, "Rational Decisions"; Gneiting and Raftery 2007, section 4.1.
    """
    laws, labels = _laws_and_labels(probs, y, class_axis)
    return -_of_label(laws, labels).log()


def brier_score(probs: TensorLike, y: TensorLike, *, class_axis: int = -1) -> Tensor:
    """Squared distance between the law and the label, summed over the classes.

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        class_axis: Where the classes are.

    Returns:
        (N, ...) between 0 and 2.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.

    Source:
        Brier 1950, "Verification of forecasts expressed in terms of probability", eq. 2.
    """
    laws, labels = _laws_and_labels(probs, y, class_axis)
    target = torch.nn.functional.one_hot(labels, laws.shape[-1])
    return (laws - target).square().sum(-1)


def binary_correct(p: TensorLike, y: TensorLike) -> Tensor:
    """Whether the outcome is the predicted one: an event is predicted where p > 0.5.

    Args:
        p: (N, ...) probability of the event.
        y: (N, ...) outcomes, 0 or 1.

    Returns:
        (N, ...) 1.0 or 0.0.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.
    """
    p, outcomes = _events(p, y)
    return ((p > 0.5) == (outcomes == 1)).to(torch.float64)


def binary_negative_log_likelihood(p: TensorLike, y: TensorLike) -> Tensor:
    """Logarithmic score of an event: -log of the probability of what happened. Nothing is clipped.

    Args:
        p: (N, ...) probability of the event.
        y: (N, ...) outcomes, 0 or 1.

    Returns:
        (N, ...) nats, from 0 to infinity.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.

    Source:
        Good 1952, "Rational Decisions".
    """
    p, outcomes = _events(p, y)
    return -torch.where(outcomes == 1, p, 1 - p).log()


def binary_brier_score(p: TensorLike, y: TensorLike) -> Tensor:
    """Squared distance between probability and outcome: half of the sum over the two classes.

    Args:
        p: (N, ...) probability of the event.
        y: (N, ...) outcomes, 0 or 1.

    Returns:
        (N, ...) between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.

    Source:
        Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    p, outcomes = _events(p, y)
    return (p - outcomes).square()


def multilabel_brier_score(p: TensorLike, y: TensorLike) -> Tensor:
    """Squared distance between probabilities and outcomes, averaged over the labels of a row.

    Args:
        p: (N, ..., L) probability of each label.
        y: (N, ..., L) outcomes, 0 or 1.

    Returns:
        (N, ...) between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.

    Source:
        Brier 1950, "Verification of forecasts expressed in terms of probability".
    """
    return binary_brier_score(probabilities("p", p, "N, ..., L"), y).mean(-1)


def _laws_and_labels(probs: TensorLike, y: TensorLike, class_axis: int) -> tuple[Tensor, Tensor]:
    laws = probability_laws("probs", classes_last(probs, class_axis), "N, ..., C")
    return laws, class_labels(y, like=laws.shape[:-1], classes=laws.shape[-1])


def _of_label(laws: Tensor, labels: Tensor) -> Tensor:
    return laws.gather(-1, labels.unsqueeze(-1)).squeeze(-1)


def _events(p: TensorLike, y: TensorLike) -> tuple[Tensor, Tensor]:
    checked = probabilities("p", p, "N, ...")
    return checked, event_labels(y, like=checked.shape)
