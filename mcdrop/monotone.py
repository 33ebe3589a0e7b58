"""Isotonic regression: the one place that calls scikit-learn's, which has no types.

scikit-learn takes longer to import than torch, so it is imported for a fit only; a fitted map needs none.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mcdrop.extras import require

__all__ = ["MonotoneMap", "fit_monotone", "monotone_values"]


_APART: Final = np.finfo(np.float64).resolution  # scikit-learn pools what is nearer, and so do we


@dataclass(frozen=True)
class MonotoneMap:
    """A non-decreasing piecewise linear function, constant beyond its ends.

    Attributes:
        knots: Where it bends, increasing.
        values: Its values there, non-decreasing, between 0 and 1.
    """

    knots: tuple[float, ...]
    values: tuple[float, ...]

    def __call__(self, x: Tensor) -> Tensor:
        """Its values at `x`, in the shape of `x`."""
        mapped = np.interp(x.detach().cpu().numpy(), self.knots, self.values)
        return torch.as_tensor(mapped, dtype=torch.float64, device=x.device)


def fit_monotone(x: Tensor, y: Tensor) -> MonotoneMap:
    """The non-decreasing function of `x` that is closest to `y` in squares, within [0, 1].

    Args:
        x: (N,) float64; equal values are pooled.
        y: (N,) float64.

    Returns:
        The fitted function.

    Source:
        Ayer et al. 1955, "An empirical distribution function for sampling with incomplete information" (the
        pool adjacent violators algorithm).
    """
    model: Any = require("sklearn.isotonic").IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    model.fit(x.detach().cpu().numpy(), y.detach().cpu().numpy())
    return MonotoneMap(tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist()))


def monotone_values(x: Tensor, y: Tensor) -> Tensor:
    """The fitted values alone, of several outcomes of the same `x`: what `fit_monotone` says at `x`.

    Args:
        x: (N,) float64; equal values are pooled.
        y: (R, N) float64.

    Returns:
        (R, N) between 0 and 1.

    Source:
        As `fit_monotone`.
    """
    values, inverse = torch.unique(x, return_inverse=True)
    place = torch.cat([values.new_zeros(1), values.diff() >= _APART]).cumsum(0).long()[inverse]
    count = place.bincount()
    sums = torch.zeros(len(y), len(count), dtype=torch.float64, device=x.device).index_add_(1, place, y)
    means, weight = (sums / count).numpy(force=True), count.double().numpy(force=True)
    regression: Any = require("sklearn.isotonic").isotonic_regression
    fitted = [regression(row, sample_weight=weight, y_min=0.0, y_max=1.0) for row in means]
    return torch.from_numpy(np.stack(fitted)).to(x.device)[:, place]
