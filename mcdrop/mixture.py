"""Mixtures of Gaussians with equal weights: the predictive law of S networks whose noise is Gaussian.

Sample s says N(mean_s, std_s^2); the prediction is the mean of these S laws. A `std` of 0 is a point mass.

Alphabet: S samples, N rows, Q levels, ... further dimensions. `std` broadcasts to (S, N, ...).
"""

import math
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from mcdrop.inversion import invert
from mcdrop.shapes import TensorLike, check_fraction, finite, float64, nonnegative, shaped

__all__ = [
    "components",
    "mixture_cdf",
    "mixture_log_density",
    "mixture_quantiles",
    "normal_cdf",
]

_LOG_ROOT_TWO_PI: Final = 0.5 * math.log(2 * math.pi)


def mixture_log_density(means: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """Log density of the mixture.

    Args:
        means: (S, N, ...) mean of each sample.
        std: Standard deviation of each sample's noise, broadcasting to (S, N, ...), at least 0.
        y: (N, ...) where.

    Returns:
        (N, ...) nats per unit of the output; -infinity off a point mass, +infinity on one.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a std is negative.

    Source:
        Gal and Ghahramani 2016, arXiv:1506.02142, eq. 8.
    """
    means, std = components(means, std)
    spread = std.expand_as(means)
    deviation = float64("y", y) - means
    score = torch.where(deviation == 0, 0.0, deviation / spread)  # on a point mass 0 / 0 is meant to be 0
    logs = -0.5 * score.square() - spread.log() - _LOG_ROOT_TWO_PI
    hit = (spread == 0) & (deviation == 0)
    logs = torch.where(spread == 0, torch.where(hit, math.inf, -math.inf), logs)
    return logs.logsumexp(0) - math.log(means.shape[0])


def mixture_cdf(means: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """Probability that the mixture gives to values up to `y`.

    Args:
        means: (S, N, ...) mean of each sample.
        std: Standard deviation of each sample's noise, broadcasting to (S, N, ...), at least 0.
        y: (N, ...) where.

    Returns:
        (N, ...) between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a std is negative.
    """
    means, std = components(means, std)
    return normal_cdf(float64("y", y) - means, std).mean(0)


def mixture_quantiles(means: TensorLike, std: TensorLike, levels: Sequence[float]) -> Tensor:
    """The values below which the mixture lies with Q probabilities, to float64's precision.

    Args:
        means: (S, N, ...) mean of each sample.
        std: Standard deviation of each sample's noise, broadcasting to (S, N, ...), at least 0.
        levels: Q numbers between 0 and 1.

    Returns:
        (Q, N, ...) in units of the output: the smallest values whose probabilities reach `levels`, with bits
        that do not depend on other rows and levels.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a std is negative or a level is not between 0 and 1.
    """
    for level in levels:
        check_fraction("level", level)
    means, std = components(means, std)
    own = std.ndim == means.ndim and len(std) > 1
    spread = std.expand_as(means if own else means[:1])
    wanted = torch.tensor(levels, dtype=torch.float64, device=means.device)
    return invert(means.flatten(1), spread.flatten(1), wanted).reshape(-1, *means.shape[1:])


def components(means: TensorLike, std: TensorLike) -> tuple[Tensor, Tensor]:
    """Checked `means` (S, N, ...) and a `std` that broadcasts to them.

    Raises:
        ShapeError: If `means` has fewer than two dimensions.
        DomainError: If a std is negative or a mean is infinite.
    """
    centres = finite("means", shaped("means", means, "S, N, ..."))
    return centres, nonnegative("std", float64("std", std).to(centres.device))


def normal_cdf(deviation: Tensor, std: Tensor) -> Tensor:
    """Probability that a Gaussian of mean 0 gives to values up to `deviation`; a step where `std` is 0.

    Args:
        deviation: (...) in units of the output.
        std: Broadcasts to `deviation`; at least 0.

    Returns:
        (...) between 0 and 1.
    """
    step = (deviation >= 0).to(torch.float64)
    smooth: Tensor = torch.special.ndtr(deviation / std)
    return torch.where(std == 0, step, smooth)
