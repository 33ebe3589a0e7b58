"""Smooth calibration error: residuals smoothed along the confidence, then averaged in size. No bins.

The kernel is the Gaussian reflected at 0 and 1. It is applied as a product in the cosine basis, where it is
exact at the borders: confidences near 0 or 1 count in full (other implementations halve those that lie
within 1/1000 of a border, where a saturated softmax puts them).

Alphabet: N pairs of confidence and event, R resamples of them, G + 1 points of a grid on [0, 1].
"""

import math
from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.metrics.reliability import confidence_pairs
from mcdrop.metrics.resampling import ROW_LIMIT, bootstrap_residuals, calibrated_residuals
from mcdrop.shapes import TensorLike

__all__ = [
    "bootstrap_smooth_errors",
    "calibrated_smooth_errors",
    "smooth_calibration_error",
    "smooth_calibration_error_at",
]

_CELLS: Final = 8192  # the narrowest kernel, 1/1024, spans 8 cells
_COARSE: Final = 512  # of resamples, whose spread is what matters
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
    grid = _grid(*_residuals(confidence, event), cells=_CELLS)
    return _fixed_point(_spectra(grid)).item()


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
    spectra = _spectra(_grid(*_residuals(confidence, event), cells=_CELLS))
    return _smoothed(spectra, torch.full_like(spectra[:, 0], bandwidth)).item()


def calibrated_smooth_errors(confidence: Tensor, resamples: int, generator: torch.Generator) -> Tensor:
    """Smooth errors of data sets that are calibrated by construction: events drawn from the confidences.

    Args:
        confidence: (N,) stated probabilities.
        resamples: R.
        generator: Source of the draws, on the CPU.

    Returns:
        (R,) smooth calibration errors, on a coarser grid than the estimate has.

    Source:
        As `mcdrop.metrics.resampling.calibrated_errors`.
    """
    if len(confidence) >= ROW_LIMIT:
        variance = _grid(confidence, (confidence * (1 - confidence)).unsqueeze(0), cells=_COARSE)
        return _limit_errors(torch.zeros_like(variance), variance, len(confidence), resamples, generator)
    return _errors(confidence, calibrated_residuals(confidence, resamples, generator))


def bootstrap_smooth_errors(
    confidence: Tensor, residual: Tensor, resamples: int, generator: torch.Generator
) -> Tensor:
    """Smooth errors of resampled pairs.

    Args:
        confidence: (N,) stated probabilities.
        residual: (N,) event minus confidence.
        resamples: R.
        generator: Source of the draws, on the CPU.

    Returns:
        (R,) smooth calibration errors, on a coarser grid than the estimate has.

    Source:
        As `mcdrop.metrics.resampling.bootstrap_errors`.
    """
    if len(confidence) >= ROW_LIMIT:
        sums = _grid(confidence, torch.stack([residual, residual.square()]), cells=_COARSE)
        return _limit_errors(sums[:1], sums[1:], len(confidence), resamples, generator)
    return _errors(confidence, bootstrap_residuals(residual, resamples, generator))


def _residuals(confidence: TensorLike, event: TensorLike) -> tuple[Tensor, Tensor]:
    """Confidences (N,) and residuals (1, N), whose sum is their mean."""
    confidence, event = confidence_pairs(confidence, event)
    return confidence, (event - confidence).unsqueeze(0) / len(confidence)


def _errors(confidence: Tensor, residuals: Iterator[Tensor]) -> Tensor:
    """(R,) errors of residuals that come (r, N) at a time."""
    grids = (_grid(confidence, each, cells=_COARSE) for each in residuals)
    return torch.cat([_fixed_point(_spectra(grid / len(confidence))) for grid in grids])


def _limit_errors(
    mean: Tensor, variance: Tensor, rows: int, resamples: int, generator: torch.Generator
) -> Tensor:
    """(R,) errors of sums on the grid (1, G + 1) that are normal, and all but independent."""
    noise = torch.randn(resamples, mean.shape[1], dtype=torch.float64, generator=generator, device="cpu").to(
        mean.device
    )
    return _fixed_point(_spectra((mean + noise * variance.sqrt()) / rows))


def _grid(confidence: Tensor, values: Tensor, *, cells: int) -> Tensor:
    """(R, G + 1) sums of values (R, N) at their confidence, each shared by the two points beside it."""
    place = confidence * cells
    cell = place.floor().clamp(max=cells - 1)
    right = place - cell
    grid = torch.zeros(len(values), cells + 1, dtype=torch.float64, device=confidence.device)
    grid.index_add_(1, cell.long(), values * (1 - right))
    return grid.index_add_(1, cell.long() + 1, values * right)


def _spectra(grid: Tensor) -> Tensor:
    """(R, G + 1) cosine coefficients of what lies on the grid."""
    return _even(grid * _border_weight(grid, 2.0)) / 2


def _fixed_point(spectra: Tensor) -> Tensor:
    """(R,) error at the bandwidth that equals it: the error falls as the bandwidth grows."""
    wide, narrow = torch.ones_like(spectra[:, 0]), torch.zeros_like(spectra[:, 0])
    for _ in range(_HALVINGS):
        middle = (wide + narrow) / 2
        below = (middle < _NARROWEST) | (middle < _smoothed(spectra, middle))
        narrow, wide = torch.where(below, middle, narrow), torch.where(below, wide, middle)
    return _smoothed(spectra, wide)


def _smoothed(spectra: Tensor, bandwidth: Tensor) -> Tensor:
    """(R,) integral over [0, 1] of the absolute smoothed residual, by the trapezoidal rule."""
    cells = spectra.shape[1] - 1
    frequency = torch.arange(cells + 1, dtype=torch.float64, device=spectra.device)
    damped = spectra * torch.exp(-0.5 * (math.pi * bandwidth.unsqueeze(1) * frequency).square())
    curve = _even(damped * _border_weight(damped, 1.0))
    return (curve.abs() * _border_weight(curve, 0.5)).sum(1) / cells


def _even(values: Tensor) -> Tensor:
    """Cosine sums x_0 + (-1)^k x_G + 2 sum_j x_j cos(pi j k / G), for k = 0 .. G, of each row."""
    extended = torch.cat([values, values[:, 1:-1].flip(1)], 1)
    sums: Tensor = torch.fft.rfft(extended).real
    return sums


def _border_weight(values: Tensor, weight: float) -> Tensor:
    """(G + 1,)."""
    weights = torch.ones_like(values[0])
    weights[0] = weights[-1] = weight
    return weights
