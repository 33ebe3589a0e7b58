"""Smooth calibration error: residuals smoothed along the confidence, then averaged in size. No bins.

The kernel is the Gaussian reflected at 0 and 1. It is applied as a product in the cosine basis, where it is
exact at the borders: confidences near 0 or 1 count in full (other implementations halve those that lie
within 1/1000 of a border, where a saturated softmax puts them).

Alphabet: N pairs of confidence and event, G + 1 points of a grid on [0, 1].
"""

import math
from typing import Final

import torch
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.metrics.reliability import confidence_pairs
from mcdrop.shapes import TensorLike

__all__ = ["smooth_calibration_error", "smooth_calibration_error_at"]

_CELLS: Final = 8192  # the narrowest kernel, 1/1024, spans 8 cells
_HALVINGS: Final = 10
_NARROWEST: Final = 0.001


def smooth_calibration_error(confidence: TensorLike, event: TensorLike) -> float:
    """smECE: the smoothed calibration error at the bandwidth that equals it.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.

    Returns:
        Between 0 and 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.

    Source:
        Blasiok and Nakkiran 2023, arXiv:2309.12236, definition 3; bandwidth by 10 halvings, as in their code.
    """
    spectrum = _spectrum(confidence, event)
    return _smoothed(spectrum, _fixed_point(spectrum))


def smooth_calibration_error_at(confidence: TensorLike, event: TensorLike, *, bandwidth: float) -> float:
    """Smoothed calibration error at a given bandwidth.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bandwidth: Standard deviation of the kernel, between 0.001 and 1.

    Returns:
        Between 0 and 1; falls as the bandwidth grows.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a value or the bandwidth lies outside its range.

    Source:
        Blasiok and Nakkiran 2023, arXiv:2309.12236, definition 2.
    """
    if not _NARROWEST <= bandwidth <= 1:
        raise DomainError(f"bandwidth must be between {_NARROWEST} and 1, got {bandwidth}")
    return _smoothed(_spectrum(confidence, event), bandwidth)


def _fixed_point(spectrum: Tensor) -> float:
    """The bandwidth at which the error equals it: the error falls as the bandwidth grows."""
    wide, narrow = 1.0, 0.0
    for _ in range(_HALVINGS):
        middle = (wide + narrow) / 2
        if middle < _NARROWEST or middle < _smoothed(spectrum, middle):
            narrow = middle
        else:
            wide = middle
    return wide


def _spectrum(confidence: TensorLike, event: TensorLike) -> Tensor:
    """(G + 1,) cosine coefficients of the mean residual at its confidence."""
    confidence, event = confidence_pairs(confidence, event)
    place = confidence * _CELLS
    cell = place.floor().clamp(max=_CELLS - 1)
    right = place - cell  # a residual is shared by the two points beside it
    residual = (event - confidence) / len(confidence)
    grid = torch.zeros(_CELLS + 1, dtype=torch.float64, device=confidence.device)
    grid.index_add_(0, cell.long(), residual * (1 - right))
    grid.index_add_(0, cell.long() + 1, residual * right)
    return _even(grid * _border_weight(grid, 2.0)) / 2


def _smoothed(spectrum: Tensor, bandwidth: float) -> float:
    """Integral over [0, 1] of the absolute smoothed residual, by the trapezoidal rule."""
    frequency = torch.arange(len(spectrum), dtype=torch.float64, device=spectrum.device)
    damped = spectrum * torch.exp(-0.5 * (math.pi * bandwidth * frequency).square())
    curve = _even(damped * _border_weight(damped, 1.0))
    return float((curve.abs() * _border_weight(curve, 0.5)).sum()) / _CELLS


def _even(values: Tensor) -> Tensor:
    """Cosine sums x_0 + (-1)^k x_G + 2 sum_j x_j cos(pi j k / G), for k = 0 .. G."""
    extended = torch.cat([values, values[1:-1].flip(0)])
    sums: Tensor = torch.fft.rfft(extended).real
    return sums


def _border_weight(values: Tensor, weight: float) -> Tensor:
    weights = torch.ones_like(values)
    weights[0] = weights[-1] = weight
    return weights
