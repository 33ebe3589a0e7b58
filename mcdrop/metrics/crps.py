"""Continuous ranked probability scores: of a Gaussian, of a mixture, and fair to samples.

CRPS(F, y) = E|X - y| - E|X - X'| / 2 with X, X' independent draws of F: the mean absolute error of a whole
law, in units of the output. Packages that divide the second term by S^2 overstate the score of S samples;
here samples get the fair form, which has the expectation of infinitely many.

Alphabet: S samples, N rows, ... further dimensions.
"""

import math
from typing import Final

import torch
from torch import Tensor

from mcdrop.errors import OptionError, ShapeError
from mcdrop.mixture import components
from mcdrop.shapes import TensorLike, float64, nonnegative, same_shape, shaped

__all__ = ["crps_blocks", "crps_gaussian", "crps_mixture", "crps_samples"]

_PAIR_BUDGET: Final = 100_000  # pairs of samples held at once: 0.8 MB of float64, which stays in the cache
_POINTS_OF_A_SAMPLE: Final = 2  # of an integral, which then takes less time than the pairs
_STEP: Final = 0.5  # of an integral, in standard deviations of the narrowest sample
_REACH: Final = 8.5  # standard deviations, beyond which a Gaussian has less than 1e-17
_ROOT_TWO_OVER_PI: Final = math.sqrt(2 / math.pi)


def crps_gaussian(mean: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """CRPS of Gaussian predictions, in closed form.

    Args:
        mean: (N, ...) means.
        std: (N, ...) standard deviations, at least 0; with 0 the score is |y - mean|.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) units of the output, at least 0.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is negative.

    Source:
        Gneiting et al. 2005, "Calibrated probabilistic forecasting using ensemble model output
        statistics", eq. 5.
    """
    mean = shaped("mean", mean, "N, ...")
    std = nonnegative("std", same_shape("std", float64("std", std), mean.shape))
    deviation = same_shape("y", float64("y", y), mean.shape) - mean
    return _mean_absolute(deviation, std) - std / math.sqrt(math.pi)


def crps_mixture(means: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """CRPS of the mixture of the samples' Gaussians, in closed form (of the mixture itself: no correction).

    Args:
        means: (S, N, ...) mean of each sample.
        std: Standard deviation of each sample's noise, broadcasting to (S, N, ...), at least 0.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) units of the output, at least 0. Time grows with S N times the law's width in standard
        deviations of its narrowest sample, or with S^2 N where that is less; memory with S^2.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a std is negative.

    Source:
        Grimit et al. 2006, "The continuous ranked probability score for circular variables", eq. 5.
    """
    means, std = components(means, std)
    outcome = same_shape("y", float64("y", y), means.shape[1:])
    spread = std.expand_as(means)
    distance = _mean_absolute(outcome - means, spread).mean(0)
    return distance - 0.5 * _mean_pair_distance(means, spread)


def crps_samples(samples: TensorLike, y: TensorLike) -> Tensor:
    """Fair CRPS of independent samples: unbiased for the law that they come from.

    Args:
        samples: (S, N, ...) with S at least 2.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) units of the output; a single row's may be below 0.

    Raises:
        ShapeError: If the shapes do not fit or there are fewer than two samples.

    Source:
        Ferro 2014, "Fair scores for ensemble forecasts", eq. 5.
    """
    samples, outcome = _samples(samples, y)
    count = samples.shape[0]
    pairs = _pair_distances(samples) / (count * (count - 1) / 2)
    return (samples - outcome).abs().mean(0) - 0.5 * pairs


def crps_blocks(samples: TensorLike, y: TensorLike, *, block: int = 16) -> Tensor:
    """Fair CRPS of samples that were stratified in blocks: only pairs from different blocks are independent.

    With fewer than two whole blocks it is the plain fair form, which stratification biases (approximate).

    Args:
        samples: (S, N, ...) with S at least 2, in the order in which they were drawn.
        y: (N, ...) outcomes.
        block: How many consecutive samples share their strata.

    Returns:
        (N, ...) units of the output; a single row's may be below 0.

    Raises:
        ShapeError: If the shapes do not fit or there are fewer than two samples.
        OptionError: If `block` is not positive.

    Source:
        Ferro 2014, "Fair scores for ensemble forecasts", eq. 5, over the pairs that are independent.
    """
    if block < 1:
        raise OptionError(f"block must be at least 1, got {block}")
    samples, outcome = _samples(samples, y)
    if samples.shape[0] < 2 * block:
        return crps_samples(samples, outcome)
    blocks = torch.split(samples, block)
    within = torch.stack([_pair_distances(part) for part in blocks]).sum(0)
    count = samples.shape[0]
    pairs = (count**2 - sum(part.shape[0] ** 2 for part in blocks)) / 2
    between = (_pair_distances(samples) - within) / pairs
    return (samples - outcome).abs().mean(0) - 0.5 * between


def _samples(samples: TensorLike, y: TensorLike) -> tuple[Tensor, Tensor]:
    checked = shaped("samples", samples, "S, N, ...")
    if checked.shape[0] < 2:
        raise ShapeError(f"samples must hold at least 2 samples, got shape {tuple(checked.shape)}")
    return checked, same_shape("y", float64("y", y), checked.shape[1:])


def _pair_distances(samples: Tensor) -> Tensor:
    """Sum of |x_i - x_j| over pairs i < j, by sorting: sum_i (2 i - S + 1) x_(i)."""
    count = samples.shape[0]
    rank = torch.arange(count, dtype=torch.float64, device=samples.device)
    weight = (2 * rank - count + 1).reshape(-1, *[1] * (samples.ndim - 1))
    ordered = samples - samples.amin(0)  # differences only: a shift loses no digits to a large offset
    return (weight * ordered.sort(0).values).sum(0)


def _mean_absolute(deviation: Tensor, std: Tensor) -> Tensor:
    """E|deviation + std Z| for a standard normal Z."""
    score = deviation / std.clamp(min=torch.finfo(torch.float64).tiny)
    centre: Tensor = deviation * torch.special.erf(score / math.sqrt(2))
    smooth = centre + std * _ROOT_TWO_OVER_PI * (-0.5 * score.square()).exp()
    return torch.where(std == 0, deviation.abs(), smooth)


def _mean_pair_distance(means: Tensor, std: Tensor) -> Tensor:
    """Mean over all S^2 pairs of E|X_i - X_j|, a few rows at a time."""
    count = means.shape[0]
    rows = max(1, _PAIR_BUDGET // count**2)
    centres, spreads = means.reshape(count, -1), std.reshape(count, -1)
    tiles = zip(torch.split(centres, rows, dim=1), torch.split(spreads, rows, dim=1), strict=True)
    parts = [_distance_tile(centre, spread) for centre, spread in tiles]
    return torch.cat(parts).reshape(means.shape[1:])


def _distance_tile(means: Tensor, std: Tensor) -> Tensor:
    """The same for (S, R), by the way that takes less time."""
    step = _STEP * std.amin(0)
    low, high = (means - _REACH * std).amin(0), (means + _REACH * std).amax(0)
    points = ((high - low) / step).amax().item()
    if points < _POINTS_OF_A_SAMPLE * len(means):
        return _integrated(means - low, std, step, math.ceil(points))
    return _pair_tile(means, std)


def _integrated(means: Tensor, std: Tensor, step: Tensor, points: int) -> Tensor:
    """The same as 2 times the integral of F (1 - F) from 0 on, by so many steps.

    Source:
        Trefethen and Weideman 2014, "The exponentially convergent trapezoidal rule": F (1 - F) is smooth and
        ends on both sides, so that all of the error is the spectrum beyond 1 / step, exp(-(pi / _STEP)^2).
    """
    places = torch.arange(points + 1, dtype=means.dtype, device=means.device)
    scores = step * places.unsqueeze(1) - means.unsqueeze(1)
    below = (1 + (scores / (math.sqrt(2) * std.unsqueeze(1))).erf_().mean(0)) / 2
    return 2 * step * (below * (1 - below)).sum(0)


def _pair_tile(means: Tensor, std: Tensor) -> Tensor:
    """The same for (S, R): every pair i < j twice, and each with itself, 2 std / sqrt(pi)."""
    one, other = torch.triu_indices(len(means), len(means), offset=1, device=means.device)
    spread = (std[one].square() + std[other].square()).sqrt()
    pairs = _mean_absolute(means[one] - means[other], spread).sum(0)
    return (2 * pairs + 2 / math.sqrt(math.pi) * std.sum(0)) / len(means) ** 2
