"""Calibration of real-valued predictions: do stated quantiles, intervals and standard deviations hold?

The PIT (probability integral transform) is where an outcome falls in its predictive law: uniform on [0, 1] if
the law is right. From it come the observed frequency of every level, and the error of quantile calibration,
at the levels 0.05 to 0.95 (0 and 1 always hold and would dilute it).

Alphabet: S samples, N rows, B bins, Q levels, ... further dimensions (outputs).
"""

from typing import Final, NamedTuple

import torch
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.metrics.reliability import bin_index
from mcdrop.metrics.resampling import resampling_generator
from mcdrop.mixture import mixture_cdf
from mcdrop.shapes import (
    TensorLike,
    check_interval,
    check_rows,
    float64,
    probabilities,
    same_shape,
    shaped,
)

__all__ = [
    "LEVELS",
    "NormalizedCalibrationError",
    "covered",
    "expected_normalized_calibration_error",
    "interval_width",
    "observed_frequencies",
    "pit_gaussian",
    "pit_mixture",
    "pit_samples",
    "quantile_calibration_error",
]

LEVELS: Final = tuple(round(0.05 * step, 2) for step in range(1, 20))
"""The 19 levels 0.05, 0.10, ..., 0.95."""


def pit_gaussian(mean: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """PIT under Gaussian predictions.

    Args:
        mean: (N, ...) means.
        std: (N, ...) standard deviations, at least 0.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is negative.

    Source:
        Dawid 1984, "The prequential approach", section 5.3.
    """
    mean = shaped("mean", mean, "N, ...")
    std = same_shape("std", float64("std", std), mean.shape)
    return pit_mixture(mean.unsqueeze(0), std.unsqueeze(0), y)


def pit_mixture(means: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """PIT under the mixture of the samples' Gaussians.

    Args:
        means: (S, N, ...) mean of each sample.
        std: Standard deviation of each sample's noise, broadcasting to (S, N, ...), at least 0.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a std is negative.

    Source:
        Dawid 1984, "The prequential approach", section 5.3.
    """
    means = shaped("means", means, "S, N, ...")
    return mixture_cdf(means, std, same_shape("y", float64("y", y), means.shape[1:]))


def pit_samples(samples: TensorLike, y: TensorLike) -> Tensor:
    """PIT under samples: the share of samples below the outcome, ties counted half.

    Args:
        samples: (S, N, ...) draws of the prediction.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) multiples of 1 / (2 S), between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    samples = shaped("samples", samples, "S, N, ...")
    outcome = same_shape("y", float64("y", y), samples.shape[1:])
    below = (samples < outcome).to(torch.float64) + 0.5 * (samples == outcome)
    return below.mean(0)


def observed_frequencies(pit: TensorLike, *, levels: TensorLike = LEVELS) -> Tensor:
    """Share of rows whose outcome lies at or below the quantile of each level: the calibration curve.

    Args:
        pit: (N, ...) PIT values.
        levels: (Q,) between 0 and 1.

    Returns:
        (Q, ...) between 0 and 1; equal to the levels in expectation if the law is right.

    Raises:
        DomainError: If a PIT value or a level lies outside [0, 1].

    Source:
        Kuleshov et al. 2018, arXiv:1807.00263, eq. 8.
    """
    values = probabilities("pit", pit, "N, ...")
    wanted = probabilities("levels", levels, "Q").to(values.device)
    below = values.unsqueeze(0) <= wanted.reshape(-1, *[1] * values.ndim)
    return below.to(torch.float64).mean(1)


def quantile_calibration_error(pit: TensorLike, *, levels: TensorLike = LEVELS) -> Tensor:
    """Mean absolute difference between the levels and their observed frequencies.

    Args:
        pit: (N, ...) PIT values.
        levels: (Q,) between 0 and 1.

    Returns:
        (...) between 0 and 1.

    Raises:
        DomainError: If a PIT value or a level lies outside [0, 1].

    Source:
        Kuleshov et al. 2018, arXiv:1807.00263, eq. 9, with absolute in place of squared differences.
    """
    observed = observed_frequencies(pit, levels=levels)
    wanted = float64("levels", levels).to(observed.device).reshape(-1, *[1] * (observed.ndim - 1))
    return (observed - wanted).abs().mean(0)


def covered(lower: TensorLike, upper: TensorLike, y: TensorLike) -> Tensor:
    """Whether the outcome lies in its interval, ends included; the mean is the coverage.

    Args:
        lower: (N, ...) lower ends.
        upper: (N, ...) upper ends.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) 1.0 or 0.0.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an upper end lies below its lower end.
    """
    low, high = float64("lower", lower), float64("upper", upper)
    check_interval(low, high)
    outcome = same_shape("y", float64("y", y), low.shape)
    return ((low <= outcome) & (outcome <= high)).to(torch.float64)


def interval_width(lower: TensorLike, upper: TensorLike) -> Tensor:
    """Width of the intervals, the price of their coverage.

    Args:
        lower: (N, ...) lower ends.
        upper: (N, ...) upper ends.

    Returns:
        (N, ...) units of the output, at least 0.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an upper end lies below its lower end.
    """
    low, high = float64("lower", lower), float64("upper", upper)
    check_interval(low, high)
    return high - low


class NormalizedCalibrationError(NamedTuple):
    """ENCE beside what it would be if the standard deviations were right and the errors Gaussian."""

    value: float
    reference: float
    reference_upper: float
    bins: int


def expected_normalized_calibration_error(
    std: TensorLike, error: TensorLike, *, bins: int = 15, simulations: int = 200, seed: int = 0
) -> NormalizedCalibrationError:
    """ENCE: mean over bins of |RMSE - root mean variance| / root mean variance, with its reference.

    Of right standard deviations it is not 0 but grows with the root of the number of bins, so it is never
    given without the number of bins and a simulated reference (mean and 95 % point); the reference assumes
    Gaussian errors.

    Args:
        std: (N,) predicted standard deviations, positive.
        error: (N,) outcome minus prediction.
        bins: Bins of equal mass along the std; equal values stay together, empty bins are left out.
        simulations: How many data sets are drawn for the reference.
        seed: Of these draws.

    Returns:
        The value, its reference and the reference's 95 % point; at least 0, without unit.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is not positive.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        Levi et al. 2019, arXiv:1905.11659, eq. 8; Pernot 2023, arXiv:2305.11905 for the dependence on the
        bins.
    """
    spread = shaped("std", std, "N")
    errors = same_shape("error", float64("error", error), spread.shape)
    check_rows(len(spread), needed=2, what="ENCE")
    if bool((spread <= 0).any()):
        raise DomainError(f"std must be positive for ENCE, got {spread.min().item():.6g}")
    index = bin_index(spread, bins=bins, binning="equal_mass")
    generator = resampling_generator(seed)
    noise = torch.randn(simulations, len(spread), dtype=torch.float64, generator=generator, device="cpu")
    simulated = _ence(spread, noise.to(spread.device) * spread, index, bins)
    value = _ence(spread, errors.unsqueeze(0), index, bins).item()
    return NormalizedCalibrationError(value, simulated.mean().item(), simulated.quantile(0.95).item(), bins)


def _ence(std: Tensor, errors: Tensor, index: Tensor, bins: int) -> Tensor:
    """(R,) ENCE of R sets of errors (R, N)."""
    stacked = torch.cat([std.unsqueeze(0), errors]).square()
    sums = torch.zeros(len(stacked), bins, dtype=torch.float64, device=std.device).index_add_(
        1, index, stacked
    )
    used = sums[:, sums[0] > 0]
    ratio = (used[1:] / used[0]).sqrt()  # the counts cancel
    return (ratio - 1).abs().mean(1)
