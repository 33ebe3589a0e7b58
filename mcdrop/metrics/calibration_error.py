"""Binned calibration errors of probabilities: how far stated and observed frequencies lie apart.

Everything here takes pairs (confidence, event): for the top label `top_label` makes them, for `binary` they
are P(y = 1) and y. Further dimensions (pixels, tokens) are flattened: each is a pair.

Binned errors are estimates with a bias: on calibrated data the plain ones are above 0 and grow with the
number of bins (Roelofs et al. 2022, arXiv:2012.08668), so they come with the intervals of
`mcdrop.calibration_intervals`.

Alphabet: N pairs, B bins, C classes.
"""

import torch
from torch import Tensor

from mcdrop.metrics.classification import correct
from mcdrop.metrics.reliability import Binning, ReliabilityBins, reliability
from mcdrop.shapes import TensorLike, class_labels, classes_last, probability_laws

__all__ = [
    "classwise_calibration_error",
    "debiased_l2_error",
    "expected_calibration_error",
    "maximum_calibration_error",
    "squared_l2_error",
    "top_label",
]


def top_label(probs: TensorLike, y: TensorLike, *, class_axis: int = -1) -> tuple[Tensor, Tensor]:
    """Pairs for top-label calibration: the largest probability, and whether its class is the label.

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        class_axis: Where the classes are.

    Returns:
        Confidences and events, both flat.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
    """
    event = correct(probs, y, class_axis=class_axis)
    confidence = probability_laws("probs", classes_last(probs, class_axis), "N, ..., C").amax(-1)
    return confidence.flatten(), event.flatten()


def expected_calibration_error(
    confidence: TensorLike, event: TensorLike, *, bins: int = 15, binning: Binning = "equal_width"
) -> Tensor:
    """ECE: mean absolute gap between frequency and confidence, weighted by the pairs in each bin.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: How many bins.
        binning: `equal_width` (closed on the right) or `equal_mass`.

    Returns:
        () between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
        OptionError: If there is no such binning, or fewer than one bin.

    Source:
        Naeini et al. 2015, "Obtaining well calibrated probabilities using Bayesian binning"; Guo et al. 2017,
        arXiv:1706.04599, eq. 3 for the right-closed bins.
    """
    return reliability(confidence, event, bins=bins, binning=binning).expected_error()


def maximum_calibration_error(
    confidence: TensorLike, event: TensorLike, *, bins: int = 15, binning: Binning = "equal_width"
) -> Tensor:
    """MCE: the largest absolute gap of any bin, however few pairs it holds.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: How many bins.
        binning: `equal_width` (closed on the right) or `equal_mass`.

    Returns:
        () between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
        OptionError: If there is no such binning, or fewer than one bin.

    Source:
        Guo et al. 2017, arXiv:1706.04599, eq. 5.
    """
    return reliability(confidence, event, bins=bins, binning=binning).maximum_error()


def squared_l2_error(bins: ReliabilityBins) -> Tensor:
    """Unbiased estimate of the mean squared gap of the bins; below 0 by chance on calibrated data.

    In each bin the square of the mean residual minus its own variance; bins with one pair contribute 0.

    Args:
        bins: The pairs, summed in bins.

    Returns:
        () at most 1.

    Source:
        Sun et al. 2024, arXiv:2408.08998. Kumar et al. 2019 (arXiv:1909.10155) subtract the variance of the
        events instead of that of the residuals, which is the same where a bin has a single confidence.
    """
    usable = bins.count >= 2
    count = bins.count[usable]
    square = bins.gap[usable].square()
    noise = (bins.square_sum[usable] / count - square) / (count - 1)
    return (count * (square - noise)).sum() / bins.count.sum()


def debiased_l2_error(
    confidence: TensorLike, event: TensorLike, *, bins: int = 15, binning: Binning = "equal_mass"
) -> Tensor:
    """Debiased L2 calibration error: the root of the unbiased mean squared gap, 0 where that is negative.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: How many bins.
        binning: `equal_mass` or `equal_width`.

    Returns:
        () between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
        OptionError: If there is no such binning, or fewer than one bin.

    Source:
        Sun et al. 2024, arXiv:2408.08998; Kumar et al. 2019, arXiv:1909.10155, section 5.
    """
    return squared_l2_error(reliability(confidence, event, bins=bins, binning=binning)).clamp(min=0).sqrt()


def classwise_calibration_error(
    probs: TensorLike,
    y: TensorLike,
    *,
    bins: int = 15,
    binning: Binning = "equal_width",
    class_axis: int = -1,
) -> Tensor:
    """ECE of every class against the rest: their mean is the static calibration error (equal width: SCE).

    Args:
        probs: (N, ..., C) class probabilities; each row sums to 1.
        y: (N, ...) labels, from 0 to C - 1.
        bins: How many bins.
        binning: `equal_width` (closed on the right) or `equal_mass` (the mean is then the adaptive ACE).
        class_axis: Where the classes are.

    Returns:
        (C,) each between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
        OptionError: If there is no such binning, or fewer than one bin.

    Source:
        Nixon et al. 2019, arXiv:1904.01685, eq. 4.
    """
    laws = probability_laws("probs", classes_last(probs, class_axis), "N, ..., C")
    labels = class_labels(y, like=laws.shape[:-1], classes=laws.shape[-1])
    errors = [
        expected_calibration_error(laws[..., c], labels == c, bins=bins, binning=binning)
        for c in range(laws.shape[-1])
    ]
    return torch.stack(errors)
