"""Tests of calibration with p-values: could a calibrated prediction have produced these data?

A small p-value says no; a large one says only that these rows do not show otherwise.

Alphabet: N rows (or pairs of confidence and event).
"""

import math
from typing import Final, NamedTuple

import torch

from mcdrop.errors import TooFewRowsError
from mcdrop.metrics.calibration_error import expected_calibration_error
from mcdrop.metrics.reliability import bin_index, confidence_pairs
from mcdrop.metrics.resampling import calibrated_errors, resampling_generator
from mcdrop.shapes import TensorLike, probabilities

__all__ = ["CalibrationTest", "consistency_test", "spiegelhalter_test", "uniformity_test"]

_SERIES_TERMS: Final = 100


class CalibrationTest(NamedTuple):
    """A test statistic and the probability that calibrated predictions give one at least as extreme."""

    statistic: float
    p_value: float


def consistency_test(
    confidence: TensorLike, event: TensorLike, *, bins: int = 15, resamples: int = 1000, seed: int = 0
) -> CalibrationTest:
    """Is the expected calibration error larger than chance makes it on calibrated data?

    The events are drawn anew from the confidences; p = (1 + resamples with an error as large) / (1 +
    resamples).

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: Bins of equal width.
        resamples: How many data sets are drawn.
        seed: Of these draws.

    Returns:
        The error and its p-value, at least 1 / (1 + resamples).

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.

    Source:
        Broecker and Smith 2007, "Increasing the reliability of reliability diagrams"; Vaicenavicius et al.
        2019, arXiv:1902.06977, section 5.
    """
    confidence, event = confidence_pairs(confidence, event)
    index = bin_index(confidence, bins=bins, binning="equal_width")
    value = expected_calibration_error(confidence, event, bins=bins).item()
    generator = resampling_generator(seed)
    errors = calibrated_errors(confidence, index, bins, resamples, generator)
    as_large = int((errors >= value - 1e-12).sum())  # a hair wider: equal sums may differ by rounding
    return CalibrationTest(value, (1 + as_large) / (1 + resamples))


def spiegelhalter_test(confidence: TensorLike, event: TensorLike) -> CalibrationTest:
    """Is the Brier score what the confidences themselves promise? Two-sided, asymptotically normal.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.

    Returns:
        The standard score z and its two-sided p-value.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
        TooFewRowsError: If every confidence is 0, 1/2 or 1, about which the score says nothing.

    Source:
        Spiegelhalter 1986, "Probabilistic prediction in patient management and clinical trials".
    """
    confidence, event = confidence_pairs(confidence, event)
    slope = 1 - 2 * confidence
    variance = (slope.square() * confidence * (1 - confidence)).sum().item()
    if variance == 0:
        raise TooFewRowsError("Spiegelhalter's test needs a confidence other than 0, 1/2 and 1, got none")
    score = ((event - confidence) * slope).sum().item() / math.sqrt(variance)
    return CalibrationTest(score, math.erfc(abs(score) / math.sqrt(2)))


def uniformity_test(pit: TensorLike) -> CalibrationTest:
    """Are the PIT values uniform on [0, 1]? Kolmogorov and Smirnov's test.

    Args:
        pit: (N,) PIT values of independent rows.

    Returns:
        The largest distance of the distribution functions and its asymptotic p-value, corrected for small N.

    Raises:
        ShapeError: If `pit` is not one-dimensional.
        DomainError: If a value lies outside [0, 1].

    Source:
        Stephens 1970, "Use of the Kolmogorov-Smirnov, Cramer-von Mises and related statistics", for the
        correction.
    """
    values = probabilities("pit", pit, "N").sort().values
    rows = len(values)
    step = torch.arange(1, rows + 1, dtype=torch.float64, device=values.device) / rows
    distance = torch.maximum(step - values, values - step + 1 / rows).amax().item()
    root = math.sqrt(rows)
    return CalibrationTest(distance, _kolmogorov_tail((root + 0.12 + 0.11 / root) * distance))


def _kolmogorov_tail(x: float) -> float:
    if x < 0.2:
        return 1.0  # the series converges slowly there, and the tail is 1 to 12 digits
    terms = [(-1) ** (k - 1) * math.exp(-2 * (k * x) ** 2) for k in range(1, _SERIES_TERMS + 1)]
    return min(1.0, max(0.0, 2 * math.fsum(terms)))
