"""Isotonic regression: the one place that calls SciPy's, which has no types.

SciPy takes a while to import, so it is imported for a fit only; a fitted map needs none.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.extras import require

__all__ = ["MonotoneMap", "fit_monotone", "monotone_values"]


_APART: Final = np.finfo(np.float64).resolution  # what is nearer differs by rounding, and is pooled
_Numbers = NDArray[np.float64]


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
    knots, values, _ = _fits(x, y.unsqueeze(0))
    row = values[0]
    inner = (row[1:-1] != row[:-2]) | (row[1:-1] != row[2:])
    bends = np.concatenate([[True], inner, [True]])[: len(row)]
    return MonotoneMap(tuple(knots[bends].tolist()), tuple(row[bends].tolist()))


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
    _, fitted, place = _fits(x, y)
    return torch.from_numpy(fitted).to(x.device)[:, place]


def _fits(x: Tensor, y: Tensor) -> tuple[_Numbers, _Numbers, Tensor]:
    """The least `x` of each pool (G,), the values that fit there (R, G), and the pool of each row (N,)."""
    values, inverse = torch.unique(x, return_inverse=True)
    starts = torch.cat([values.new_ones(1), values.diff()]) >= _APART
    place = (starts.cumsum(0) - 1)[inverse]
    count = place.bincount()
    sums = torch.zeros(len(y), len(count), dtype=torch.float64, device=x.device).index_add_(1, place, y)
    means, weights = (sums / count).numpy(force=True), count.double().numpy(force=True)
    regression: Any = require("scipy.optimize").isotonic_regression
    fitted = [regression(row, weights=weights).x for row in means]
    return values[starts].numpy(force=True), np.clip(np.stack(fitted), 0, 1), place
