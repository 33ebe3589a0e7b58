"""Scores of real-valued predictions: one value per row, so that means, intervals and groups follow.

Alphabet: S samples, N rows, ... further dimensions (outputs). Units are those of the output
unless said otherwise. The CRPS has its own module, `mcdrop.metrics.crps`.
"""

import math

import torch
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.mixture import mixture_log_density
from mcdrop.shapes import (
    TensorLike,
    check_fraction,
    check_interval,
    float64,
    same_shape,
    shaped,
)

__all__ = [
    "absolute_error",
    "gaussian_negative_log_likelihood",
    "interval_score",
    "mean_absolute_error",
    "mixture_negative_log_likelihood",
    "monte_carlo_log_likelihood",
    "pinball_loss",
    "root_mean_squared_error",
    "squared_error",
]


def squared_error(mean: TensorLike, y: TensorLike) -> Tensor:
    """Squared distance between prediction and outcome.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) squared units of the output.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a value is NaN.
    """
    return _difference(mean, y).square()


def absolute_error(mean: TensorLike, y: TensorLike) -> Tensor:
    """Distance between prediction and outcome.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) units of the output.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a value is NaN.
    """
    return _difference(mean, y).abs()


def root_mean_squared_error(mean: TensorLike, y: TensorLike) -> Tensor:
    """Root of the mean squared error over the rows, one for each output.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.

    Returns:
        (...) units of the output.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a value is NaN.
    """
    return squared_error(mean, y).mean(0).sqrt()


def mean_absolute_error(mean: TensorLike, y: TensorLike) -> Tensor:
    """Mean absolute error over the rows, one for each output.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.

    Returns:
        (...) units of the output.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a value is NaN.
    """
    return absolute_error(mean, y).mean(0)


def gaussian_negative_log_likelihood(mean: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """Logarithmic score of Gaussian predictions.

    Args:
        mean: (N, ...) means.
        std: (N, ...) standard deviations, at least 0 (0 is a point mass).
        y: (N, ...) outcomes.

    Returns:
        (N, ...) nats, of the density per unit of the output; any sign, infinite for a point mass.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is negative.

    Source:
        Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", section 4.1.
    """
    mean = shaped("mean", mean, "N, ...")
    std = same_shape("std", float64("std", std), mean.shape)
    return mixture_negative_log_likelihood(mean.unsqueeze(0), std.unsqueeze(0), y)


def mixture_negative_log_likelihood(means: TensorLike, std: TensorLike, y: TensorLike) -> Tensor:
    """Logarithmic score of the mixture of the samples' Gaussians.

    Args:
        means: (S, N, ...) mean of each sample.
        std: Standard deviation of each sample's noise, broadcasting to (S, N, ...), at least 0.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) nats, of the density per unit of the output; any sign.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If a std is negative.

    Source:
        Gal and Ghahramani 2016, arXiv:1506.02142, eq. 8.
    """
    means = shaped("means", means, "S, N, ...")
    return -mixture_log_density(means, std, same_shape("y", float64("y", y), means.shape[1:]))


def monte_carlo_log_likelihood(means: TensorLike, tau: float, y: TensorLike) -> Tensor:
    """Predictive log likelihood of MC dropout with noise precision tau; higher is better.

    log p(y) = logsumexp_s(-tau/2 (y - mean_s)^2) - log S - log(2 pi)/2 + log(tau)/2.

    Args:
        means: (S, N, ...) output of each sample.
        tau: Noise precision, in 1 / squared units of the output.
        y: (N, ...) outcomes.

    Returns:
        (N, ...) nats, of the density per unit of the output.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If tau is not positive.

    Source:
        Gal and Ghahramani 2016, arXiv:1506.02142, eq. 8.
    """
    if not tau > 0:
        raise DomainError(f"tau must be positive, got {tau}")
    return -mixture_negative_log_likelihood(means, 1 / math.sqrt(tau), y)


def interval_score(lower: TensorLike, upper: TensorLike, y: TensorLike, *, level: float) -> Tensor:
    """Width of a central interval plus 2 / alpha times the distance by which the outcome misses it.

    Args:
        lower: (N, ...) lower ends.
        upper: (N, ...) upper ends.
        y: (N, ...) outcomes.
        level: Nominal coverage 1 - alpha, between 0 and 1.

    Returns:
        (N, ...) units of the output, at least 0.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an upper end lies below its lower end, or the level is not between 0 and 1.

    Source:
        Gneiting and Raftery 2007, "Strictly proper scoring rules, prediction, and estimation", eq. 43.
    """
    check_fraction("level", level)
    low, high = float64("lower", lower), float64("upper", upper)
    check_interval(low, high)
    outcome = same_shape("y", float64("y", y), low.shape)
    missed = (low - outcome).clamp(min=0) + (outcome - high).clamp(min=0)
    return high - low + 2 / (1 - level) * missed


def pinball_loss(quantile: TensorLike, y: TensorLike, *, level: float) -> Tensor:
    """Quantile score: level (y - q) above the quantile, (1 - level) (q - y) below it.

    Args:
        quantile: (N, ...) predicted quantiles.
        y: (N, ...) outcomes.
        level: Of the quantile, between 0 and 1.

    Returns:
        (N, ...) units of the output, at least 0.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If the level is not between 0 and 1.

    Source:
        Koenker and Bassett 1978, "Regression quantiles".
    """
    check_fraction("level", level)
    above = -_difference(quantile, y, name="quantile")
    return torch.maximum(level * above, (level - 1) * above)


def _difference(prediction: TensorLike, y: TensorLike, name: str = "mean") -> Tensor:
    predicted = shaped(name, prediction, "N, ...")
    return predicted - same_shape("y", float64("y", y), predicted.shape)
