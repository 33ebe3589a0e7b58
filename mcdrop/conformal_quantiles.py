"""Conformalised quantile regression: the samples' own quantiles, moved until they keep a promise.

Intervals are [low - bound, high + bound], where low and high are two quantiles of the predictive law and the
bound is the conformal one of how far outcomes lie outside. So the intervals take the law's shape, skewed or
wide, and a law that is too wide is made narrower (then the bound is negative).

If calibration rows and new rows are exchangeable, a new row is covered with probability at least `level`, on
average over calibration sets.

Alphabet: N rows, ... further dimensions (outputs, which share the bound).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mcdrop.calibration.fitted import SamplingSettings, data_digest, record
from mcdrop.conformal import ConformalCalibrator, conformal_bound
from mcdrop.shapes import TensorLike, check_interval, float64, same_shape, shaped

__all__ = ["ConformalQuantiles", "fit_conformal_quantiles"]


@dataclass(frozen=True)
class ConformalQuantiles(ConformalCalibrator):
    """Intervals around two quantiles.

    Attributes:
        level: Promised coverage; the quantiles are those at (1 - level) / 2 and (1 + level) / 2.
        bound: In units of the output; negative if the quantiles were too far apart, infinite if there were
            too few rows.
    """

    kind: ClassVar[str] = "conformal_quantiles"

    @property
    def quantile_levels(self) -> tuple[float, float]:
        """The levels of the two quantiles."""
        return round((1 - self.level) / 2, 12), round(
            (1 + self.level) / 2, 12
        )  # 0.1, not 0.09999999999999998

    def apply(self, lower: TensorLike, upper: TensorLike) -> tuple[Tensor, Tensor]:
        """The intervals; one that a negative bound turns inside out becomes its middle.

        Args:
            lower: (N, ...) the lower quantiles.
            upper: (N, ...) the upper ones.

        Returns:
            Lower and upper ends, (N, ...), in units of the output.

        Raises:
            ShapeError: If the shapes differ.
            DomainError: If an upper quantile is below its lower one.
        """
        low, high = _quantiles(lower, upper)
        middle = (low + high) / 2
        return torch.minimum(low - self.bound, middle), torch.maximum(high + self.bound, middle)


def fit_conformal_quantiles(
    lower: TensorLike,
    upper: TensorLike,
    y: TensorLike,
    *,
    level: float = 0.9,
    settings: SamplingSettings | None = None,
    digest: str | None = None,
) -> ConformalQuantiles:
    """Intervals around quantiles, from held-out rows.

    Args:
        lower: (N, ...) quantiles at (1 - level) / 2 for held-out rows.
        upper: (N, ...) quantiles at (1 + level) / 2.
        y: (N, ...) outcomes.
        level: Promised coverage.
        settings: How the samples were drawn.
        digest: Of the rows; made from the three arrays if it is not given.

    Returns:
        The calibrator; with too few rows its bound is infinite.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an upper quantile is below its lower one, or the level is not between 0 and 1.

    Source:
        Romano, Patterson and Candes 2019, arXiv:1905.03222, eq. 6 to 8.
    """
    low, high = _quantiles(lower, upper)
    outcome = same_shape("y", float64("y", y), low.shape)
    outside = torch.maximum(low - outcome, outcome - high)
    worst = outside.reshape(len(outside), -1).amax(1)  # rows are exchangeable, outputs of a row are not
    bound = conformal_bound(worst, level=level)
    return ConformalQuantiles(
        record(len(low), settings, digest or data_digest(lower, upper, y)), level, bound
    )


def _quantiles(lower: TensorLike, upper: TensorLike) -> tuple[Tensor, Tensor]:
    low, high = shaped("lower", lower, "N, ..."), float64("upper", upper)
    check_interval(low, high)
    return low, high
