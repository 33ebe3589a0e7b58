"""Resampled calibration errors: what chance alone does to a binned error.

Memory is bounded: resamples are made a chunk at a time. From 50,000 pairs on the sums of the bins are drawn
from their normal limit instead, so that the time does not grow with the number of resamples. Every draw
comes from the generator that is passed in.

Alphabet: N pairs of confidence and event, B bins, R resamples.
"""

from collections.abc import Iterator
from typing import Final

import torch
from torch import Tensor

__all__ = [
    "ROW_LIMIT",
    "binned",
    "bootstrap_errors",
    "bootstrap_residuals",
    "bootstrap_weights",
    "calibrated_errors",
    "calibrated_residuals",
    "chunks",
    "limit_errors",
    "resampling_generator",
]

_CHUNK: Final = 4_000_000  # resampled values held at once: 32 MB of float64
ROW_LIMIT: Final = 50_000
"""Pairs from which on the sums of the bins are drawn from their limit."""

_SALT: Final = 0x6D6364726F70  # keeps these streams apart from data that were simulated with a small seed


def resampling_generator(seed: int) -> torch.Generator:
    """The generator behind an interval, a test or a reference, on the CPU."""
    return torch.Generator().manual_seed(seed ^ _SALT)


def calibrated_errors(
    confidence: Tensor, index: Tensor, bins: int, resamples: int, generator: torch.Generator
) -> Tensor:
    """Calibration errors of data sets that are calibrated by construction: events drawn from the confidences.

    Args:
        confidence: (N,) stated probabilities.
        index: (N,) the bin of each.
        bins: B.
        resamples: R.
        generator: Source of the draws, on the CPU.

    Returns:
        (R,) expected calibration errors.

    Source:
        Broecker and Smith 2007, "Increasing the reliability of reliability diagrams".
    """
    if len(confidence) >= ROW_LIMIT:
        sums = binned((confidence * (1 - confidence)).unsqueeze(0), index, bins)[0]
        return limit_errors(torch.zeros_like(sums), sums, len(confidence), resamples, generator)
    drawn = calibrated_residuals(confidence, resamples, generator)
    return torch.cat([binned(each, index, bins).abs().sum(1) / len(confidence) for each in drawn])


def bootstrap_errors(
    residual: Tensor, index: Tensor, bins: int, resamples: int, generator: torch.Generator
) -> Tensor:
    """Calibration errors of resampled pairs.

    Args:
        residual: (N,) event minus confidence.
        index: (N,) the bin of each.
        bins: B.
        resamples: R.
        generator: Source of the draws, on the CPU.

    Returns:
        (R,) expected calibration errors.

    Source:
        Efron 1979, "Bootstrap methods: another look at the jackknife".
    """
    rows = len(residual)
    if rows >= ROW_LIMIT:
        sums, squares = binned(torch.stack([residual, residual.square()]), index, bins)
        return limit_errors(sums, squares - sums.square() / rows, rows, resamples, generator)
    drawn = bootstrap_residuals(residual, resamples, generator)
    return torch.cat([binned(each, index, bins).abs().sum(1) / rows for each in drawn])


def calibrated_residuals(confidence: Tensor, resamples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Event minus confidence of calibrated data sets, (r, N) at a time until there are R of them."""
    for count in chunks(resamples, len(confidence)):
        uniform = torch.rand(count, len(confidence), dtype=torch.float64, generator=generator, device="cpu")
        yield (uniform.to(confidence.device) < confidence).to(torch.float64) - confidence


def bootstrap_residuals(residual: Tensor, resamples: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Residuals (N,) times how often each row was drawn, (r, N) at a time until there are R of them."""
    for count in chunks(resamples, len(residual)):
        yield bootstrap_weights(count, len(residual), generator).to(residual.device) * residual


def binned(values: Tensor, index: Tensor, bins: int) -> Tensor:
    """(R, B) sums of (R, N) values in their bins."""
    empty = torch.zeros(len(values), bins, dtype=torch.float64, device=values.device)
    return empty.index_add_(1, index, values)


def bootstrap_weights(resamples: int, rows: int, generator: torch.Generator) -> Tensor:
    """(R, N) how often each row was drawn."""
    drawn = torch.randint(rows, (resamples, rows), generator=generator, device="cpu")
    drawn += rows * torch.arange(resamples, device="cpu").unsqueeze(1)
    return drawn.flatten().bincount(minlength=resamples * rows).reshape(resamples, rows).to(torch.float64)


def limit_errors(
    mean: Tensor, variance: Tensor, rows: float, resamples: int, generator: torch.Generator
) -> Tensor:
    """(R,) errors of sums (B,) that are normal, and all but independent between bins."""
    noise = torch.randn(resamples, len(mean), dtype=torch.float64, generator=generator, device="cpu").to(
        mean.device
    )
    return (mean + noise * variance.clamp(min=0).sqrt()).abs().sum(1) / rows


def chunks(resamples: int, rows: int) -> list[int]:
    """How many resamples to make at a time, so that memory stays bounded."""
    size = max(1, min(resamples, _CHUNK // rows))
    return [min(size, resamples - start) for start in range(0, resamples, size)]
