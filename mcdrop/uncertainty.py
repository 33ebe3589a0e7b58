"""Measures of uncertainty of samples `(S, N, ...)`, split into what data could teach and what it could not.

Entropy measures are in nats. *Total* (the predictive entropy) = *aleatoric* (the expected entropy of one
sample) + *epistemic* (the mutual information). Variances over samples have ddof = 1, and a total variance is
the sum of its two parts.

Alphabet: S samples, N rows, C classes, ... further dimensions. Classes come last.
`entropy`, `binary_entropy` and `epistemic_entropy` check nothing, since they run on every tile of a
prediction; the measures check their input.
"""

from typing import NamedTuple, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.errors import DomainError, ShapeError
from mcdrop.shapes import (
    TensorLike,
    float64,
    nonnegative,
    probabilities,
    probability_laws,
    same_shape,
    shaped,
)

__all__ = [
    "VarianceSplit",
    "binary_entropy",
    "binary_expected_entropy",
    "binary_mutual_information",
    "binary_predictive_entropy",
    "entropy",
    "epistemic_entropy",
    "expected_entropy",
    "max_probability",
    "mutual_information",
    "predictive_entropy",
    "variance_split",
    "variation_ratio",
]


_Numbers = TypeVar("_Numbers", Tensor, NDArray[np.float64])


def entropy(probs: Tensor, axis: int = -1) -> Tensor:
    """Shannon entropy of laws over classes, with 0 log 0 = 0.

    Args:
        probs: (..., C) probabilities; not checked.
        axis: The class axis.

    Returns:
        (...) nats, between 0 and log(C), float64.

    Source:
        Shannon 1948, "A Mathematical Theory of Communication", section 6.
    """
    terms: Tensor = torch.special.entr(probs.double())
    return terms.sum(axis)


def binary_entropy(p: Tensor) -> Tensor:
    """Shannon entropy of events of probability `p`, with 0 log 0 = 0.

    Args:
        p: (...) probabilities; not checked.

    Returns:
        (...) nats, between 0 and log(2), float64.

    Source:
        Shannon 1948, "A Mathematical Theory of Communication", section 6.
    """
    p = p.double()
    nats: Tensor = torch.special.entr(p) + torch.special.entr(1 - p)
    return nats


def epistemic_entropy(total: _Numbers, aleatoric: _Numbers) -> _Numbers:
    """The mutual information, from the entropies of the mean and of the samples.

    Args:
        total: (...) entropy of the mean law, a tensor or an array.
        aleatoric: (...) mean of the samples' entropies, likewise.

    Returns:
        (...) nats, at least 0.

    Source:
        Depeweg et al. 2018, arXiv:1710.07283, eq. 7.
    """
    return (total - aleatoric).clip(0)  # the exact value is >= 0; rounding can push it below


def predictive_entropy(probs: TensorLike) -> Tensor:
    """Total part: entropy of the mean law.

    Over S samples it is low by about sum_c Var(mean p_c) / (2 p_c), since entropy is concave.

    Args:
        probs: (S, N, ..., C) class probabilities; each row sums to 1.

    Returns:
        (N, ...) nats, between 0 and log(C).

    Raises:
        ShapeError: If `probs` has fewer than three dimensions.
        DomainError: If it does not hold probabilities that sum to 1.

    Source:
        Gal 2016, "Uncertainty in Deep Learning", eq. 3.20.
    """
    return entropy(_laws(probs).mean(0))


def expected_entropy(probs: TensorLike) -> Tensor:
    """Aleatoric part: mean entropy of one sample's law.

    Args:
        probs: (S, N, ..., C) class probabilities; each row sums to 1.

    Returns:
        (N, ...) nats, between 0 and the predictive entropy.

    Raises:
        ShapeError: If `probs` has fewer than three dimensions.
        DomainError: If it does not hold probabilities that sum to 1.

    Source:
        Depeweg et al. 2018, arXiv:1710.07283, eq. 7.
    """
    return entropy(_laws(probs)).mean(0)


def mutual_information(probs: TensorLike) -> Tensor:
    """Epistemic part: what a label would tell about the weights (BALD).

    Args:
        probs: (S, N, ..., C) class probabilities; each row sums to 1.

    Returns:
        (N, ...) nats, between 0 and log(C); 0 for a single sample.

    Raises:
        ShapeError: If `probs` has fewer than three dimensions.
        DomainError: If it does not hold probabilities that sum to 1.

    Source:
        Houlsby et al. 2011, arXiv:1112.5745, eq. 2.
    """
    laws = _laws(probs)
    return epistemic_entropy(entropy(laws.mean(0)), entropy(laws).mean(0))


def variation_ratio(probs: TensorLike) -> Tensor:
    """Share of samples whose label differs from the label that most samples choose.

    Of equally probable classes a sample votes for the first.

    Args:
        probs: (S, N, ..., C) class probabilities; each row sums to 1.

    Returns:
        (N, ...) shares, between 0 and 1 - 1/C.

    Raises:
        ShapeError: If `probs` has fewer than three dimensions.
        DomainError: If it does not hold probabilities that sum to 1.

    Source:
        Gal 2016, "Uncertainty in Deep Learning", eq. 3.19; Freeman 1965, "Elementary Applied Statistics".
    """
    laws = _laws(probs)
    votes = torch.nn.functional.one_hot(laws.argmax(-1), laws.shape[-1]).sum(0)
    return 1 - votes.amax(-1).to(torch.float64) / laws.shape[0]


def max_probability(probs: TensorLike) -> Tensor:
    """Probability of the most probable class under the mean law: the confidence.

    Args:
        probs: (S, N, ..., C) class probabilities; each row sums to 1.

    Returns:
        (N, ...) between 1/C and 1.

    Raises:
        ShapeError: If `probs` has fewer than three dimensions.
        DomainError: If it does not hold probabilities that sum to 1.

    Source:
        Hendrycks and Gimpel 2017, arXiv:1610.02136 (there of one pass).
    """
    return _laws(probs).mean(0).amax(-1)


def binary_predictive_entropy(probs: TensorLike) -> Tensor:
    """Total part for events: entropy of the mean probability (binary, or each label of many).

    Args:
        probs: (S, N, ...) probabilities of the event.

    Returns:
        (N, ...) nats, between 0 and log(2).

    Raises:
        ShapeError: If `probs` has fewer than two dimensions.
        DomainError: If a value lies outside [0, 1].

    Source:
        Gal 2016, "Uncertainty in Deep Learning", eq. 3.20.
    """
    return binary_entropy(probabilities("probs", probs, "S, N, ...").mean(0))


def binary_expected_entropy(probs: TensorLike) -> Tensor:
    """Aleatoric part for events: mean entropy of one sample's probability.

    Args:
        probs: (S, N, ...) probabilities of the event.

    Returns:
        (N, ...) nats, between 0 and the predictive entropy.

    Raises:
        ShapeError: If `probs` has fewer than two dimensions.
        DomainError: If a value lies outside [0, 1].

    Source:
        Depeweg et al. 2018, arXiv:1710.07283, eq. 7.
    """
    return binary_entropy(probabilities("probs", probs, "S, N, ...")).mean(0)


def binary_mutual_information(probs: TensorLike) -> Tensor:
    """Epistemic part for events: what the outcome would tell about the weights.

    Args:
        probs: (S, N, ...) probabilities of the event.

    Returns:
        (N, ...) nats, between 0 and log(2); 0 for a single sample.

    Raises:
        ShapeError: If `probs` has fewer than two dimensions.
        DomainError: If a value lies outside [0, 1].

    Source:
        Houlsby et al. 2011, arXiv:1112.5745, eq. 2.
    """
    return epistemic_entropy(binary_predictive_entropy(probs), binary_expected_entropy(probs))


class VarianceSplit(NamedTuple):
    """A predictive variance and its two parts, each (N, ...), in squared units of the output."""

    epistemic: Tensor
    aleatoric: Tensor
    total: Tensor


def variance_split(
    means: TensorLike, *, variances: TensorLike | None = None, tau: float | None = None
) -> VarianceSplit:
    """Law of total variance: variance of the means + mean of the variances.

    Args:
        means: (S, N, ...) mean of each sample.
        variances: (S, N, ...) variance of each sample's noise (of a network that predicts it), at least 0.
        tau: Noise precision, in 1 / squared units of the output: one variance, 1 / tau, for all. Without
            `variances` and `tau` the noise is 0.

    Returns:
        Epistemic (ddof = 1), aleatoric, and their sum.

    Raises:
        ShapeError: If there are fewer than two samples, or the shapes differ.
        DomainError: If a variance is negative, tau is not positive, or both are given.

    Source:
        Kendall and Gal 2017, arXiv:1703.04977, eq. 9; Gal and Ghahramani 2016, arXiv:1506.02142, eq. 7.
    """
    means = shaped("means", means, "S, N, ...")
    if means.shape[0] < 2:
        raise ShapeError(f"means must hold at least 2 samples for a variance, got shape {tuple(means.shape)}")
    epistemic = means.var(0, correction=1)
    aleatoric = _noise(means, variances, tau)
    return VarianceSplit(epistemic, aleatoric, epistemic + aleatoric)


def _noise(means: Tensor, variances: TensorLike | None, tau: float | None) -> Tensor:
    if variances is None:
        return torch.full_like(means[0], 0.0 if tau is None else 1 / _positive(tau))
    if tau is not None:
        raise DomainError("variances and tau are two laws for the noise: give one of them")
    checked = same_shape("variances", float64("variances", variances), means.shape)
    return nonnegative("variances", checked).mean(0)


def _positive(tau: float) -> float:
    if not tau > 0:
        raise DomainError(f"tau must be positive, got {tau}")
    return tau


def _laws(probs: TensorLike) -> Tensor:
    return probability_laws("probs", probs, "S, N, ..., C")
