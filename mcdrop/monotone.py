"""Isotonic regression: the one place that calls scikit-learn's, which has no types."""

from dataclasses import dataclass

import numpy as np
import torch
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

__all__ = ["MonotoneMap", "fit_monotone"]


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
    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip")
    model.fit(x.detach().cpu().numpy(), y.detach().cpu().numpy())
    return MonotoneMap(tuple(model.X_thresholds_.tolist()), tuple(model.y_thresholds_.tolist()))
