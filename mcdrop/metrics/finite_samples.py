"""What a finite number of samples does to scores of their mean, to first order.

A score that is curved in the mean is off by half its curvature times the variance *of the mean*. That is
`standard_error`^2 of a predictive, which knows that masks are stratified; s^2 / S would overstate it.

Alphabet: N rows, C classes (last), ... further dimensions.
"""

import torch
from torch import Tensor

from mcdrop.shapes import TensorLike, float64, nonnegative, probabilities, same_shape

__all__ = ["entropy_bias", "negative_log_likelihood_bias"]


def negative_log_likelihood_bias(probability: TensorLike, standard_error: TensorLike) -> Tensor:
    """How much too high the log score of the mean is: SE^2 / (2 p^2).

    Args:
        probability: (N, ...) mean probability of the label.
        standard_error: (N, ...) Monte Carlo error of that mean.

    Returns:
        (N, ...) nats, at least 0: subtract it for the score of infinitely many samples.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a probability lies outside [0, 1] or an error is negative.

    Source:
        Second-order Taylor expansion of -log (the delta method).
    """
    p, error = _checked("probability", probability, standard_error)
    return torch.where(error > 0, 0.5 * (error / p).square(), 0.0)


def entropy_bias(probs: TensorLike, standard_error: TensorLike) -> Tensor:
    """How much the entropy of the mean is off, and so is the mutual information: -sum_c SE_c^2 / (2 p_c).

    The expected entropy is a mean over the samples, and has no bias.

    Args:
        probs: (N, ..., C) mean class probabilities.
        standard_error: (N, ..., C) Monte Carlo error of these means.

    Returns:
        (N, ...) nats, at most 0: subtract it for the entropy of infinitely many samples.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a probability lies outside [0, 1] or an error is negative.

    Source:
        Second-order Taylor expansion of -p log p; for counts: Miller 1955, "Note on the bias of information
        estimates".
    """
    p, error = _checked("probs", probs, standard_error)
    return -torch.where(error > 0, error.square() / (2 * p), 0.0).sum(-1)


def _checked(name: str, values: TensorLike, standard_error: TensorLike) -> tuple[Tensor, Tensor]:
    p = probabilities(name, values, "N, ...")
    error = same_shape("standard_error", float64("standard_error", standard_error), p.shape)
    return p, nonnegative("standard_error", error)
