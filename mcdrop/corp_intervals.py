"""Confidence intervals of the two parts of a Brier score, whose estimates are biased by their own fit.

The monotone recalibration is fitted on the rows that it is judged on, so that the miscalibration comes out
too large, and the refinement too small by the same amount b. How much is simulated: outcomes are drawn anew
from a law, and the recalibration is fitted to them. b is the larger of two: under the stated probabilities
(calibrated data) and under the recalibrated ones. Far from calibrated the bias lies between 0 and b, so the
ends of the miscalibration are [v - b - z s, v + z s], those of the refinement [v - z s, v + b + z s]. s is
that of the rows' own contributions, of which the fit changes nothing to first order.

Alphabet: N rows, k cases of a row, C classes against the rest, R simulations.
"""

import math
from typing import Final, NamedTuple

import torch
from torch import Tensor

from mcdrop.intervals import Interval, two_sided
from mcdrop.metrics.resampling import calibrated_residuals, resampling_generator
from mcdrop.monotone import monotone_values
from mcdrop.shapes import check_fraction, check_rows

__all__ = ["SplitIntervals", "split_intervals"]

_SIMULATIONS: Final = 50
_FITS: Final = 1000
"""Classes times simulations: where the classes are many, few simulations of each say as much of their sum."""
_FITTED_NUMBERS: Final = 10_000_000
"""In all simulations together; about a second."""


class SplitIntervals(NamedTuple):
    """Of the miscalibration and the refinement, at least 0."""

    miscalibration: Interval
    refinement: Interval


def split_intervals(stated: Tensor, labels: Tensor, *, level: float = 0.95, seed: int = 0) -> SplitIntervals:
    """Bias-aware intervals of miscalibration and refinement.

    Args:
        stated: (N, k, C) float64 stated probability of each class, between 0 and 1.
        labels: (N, k) which of them came.
        level: Confidence.
        seed: Of the simulations.

    Returns:
        Both intervals.

    Raises:
        DomainError: If the level is no fraction.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        Dimitriadis, Gneiting and Jordan 2021, for the split; the interval is made like
        `mcdrop.calibration_intervals.ece_interval`. How often it holds is in docs/guarantees.md.
    """
    check_fraction("level", level)
    check_rows(len(stated), needed=2, what="an interval of the parts of a Brier score")
    before, after, bias = _parts(stated, labels, resampling_generator(seed))
    gain, z = before - after, two_sided(level)
    margin, rest = z * _standard_error(gain), z * _standard_error(after)
    value, left = gain.mean().item(), after.mean().item()
    return SplitIntervals(
        Interval(max(0.0, value - bias - margin), max(0.0, value) + margin, level, "bias-aware"),
        Interval(max(0.0, left - rest), left + bias + rest, level, "bias-aware"),
    )


def _parts(stated: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, float]:
    """(N,) squared distances before and after recalibration, summed over classes, and the bias of both."""
    before, after, bias = stated.new_zeros(len(stated)), stated.new_zeros(len(stated)), 0.0
    classes = stated.shape[-1]
    simulations = max(1, min(_SIMULATIONS, _FITS // classes, _FITTED_NUMBERS // stated.numel()))
    for c in range(classes):
        p, event = stated[..., c], (labels == c).to(torch.float64)
        fitted = monotone_values(p.flatten(), event.reshape(1, -1)).reshape(p.shape)
        before += (p - event).square().mean(1)
        after += (fitted - event).square().mean(1)
        bias += max(_bias(p, law, simulations, generator) for law in (p, fitted))
    return before, after, bias


def _bias(stated: Tensor, law: Tensor, simulations: int, generator: torch.Generator) -> float:
    """Mean gain of a recalibration over the true `law`, which outcomes drawn from it make look too good."""
    total = 0.0
    for residual in calibrated_residuals(law.flatten(), simulations, generator):
        fitted = monotone_values(stated.flatten(), residual + law.flatten())
        total += (residual.square() - (fitted - residual - law.flatten()).square()).mean(1).sum().item()
    return total / simulations


def _standard_error(rows: Tensor) -> float:
    return rows.std().item() / math.sqrt(len(rows))
