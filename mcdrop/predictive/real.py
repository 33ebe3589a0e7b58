"""What the predictives of real outputs share: a law that calibration may stretch, and intervals it promises.

Alphabet: S samples, N rows, ... further dimensions.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.conformal import ConformalIntervals
from mcdrop.conformal_quantiles import ConformalQuantiles
from mcdrop.errors import NotFittedError
from mcdrop.mixture import mixture_quantiles
from mcdrop.predictive.predictive import ROWS_FIRST, Predictive, check_levels

__all__ = ["RealPredictive", "gaussian_quantiles"]

_INSIDE: Final = 1e-6
"""Quantiles at 0 and 1 do not exist."""


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RealPredictive(Predictive, ABC):
    """Real outputs of N rows. Abstract: how their noise is known differs.

    Attributes:
        scale: (N, ...) float64, how far calibration stretches the law about its mean; None if it does not.
    """

    outputs: ClassVar[tuple[str, ...]] = (
        "mean",
        "std",
        "standard_error",
        "epistemic_std",
        "aleatoric_std",
        "deterministic",
    )

    scale: Tensor | None = field(default=None, metadata=ROWS_FIRST)

    @property
    def epistemic_std(self) -> Tensor:
        """(N, ...) standard deviation of the samples' means, in units of the output."""
        return self._scaled(self.sample_std)

    @property
    @abstractmethod
    def aleatoric_std(self) -> Tensor:
        """(N, ...) standard deviation of the noise, in units of the output."""

    @property
    @abstractmethod
    def noise_std(self) -> float | Tensor | None:
        """Standard deviation of the noise around each sample, broadcasting to them; None if unknown."""

    @property
    def lower(self) -> Tensor:
        """(N, ...) lower end of the interval that keeps its promise, in units of the output.

        Raises:
            NotFittedError: If no conformal calibrator was fitted.
        """
        return self._promised()[0]

    @property
    def upper(self) -> Tensor:
        """(N, ...) upper end of the interval that keeps its promise, in units of the output.

        Raises:
            NotFittedError: If no conformal calibrator was fitted.
        """
        return self._promised()[1]

    def interval(self, level: float = 0.9) -> tuple[Tensor, Tensor]:
        """The central interval; where a conformal calibrator was fitted for this level, the one it promises.

        Args:
            level: Its probability, in (0, 1).

        Returns:
            Lower and upper ends, each like `mean`.

        Raises:
            DomainError: If `level` is not between 0 and 1.
            SamplesNotKeptError: If the samples were dropped and these quantiles were not named in the call.
        """
        (level,) = check_levels(level)
        promise = self._promise()
        return self._promised() if promise and promise.level == level else super().interval(level)

    def available_outputs(self) -> tuple[str, ...]:
        """Names of the outputs; the ends of an interval only where one was promised."""
        names = super().available_outputs()
        return names if self._promise() is None else (*names, "lower", "upper")

    def quantiles_of(self, samples: Tensor, levels: Sequence[float]) -> Tensor:
        """(Q, N, ...) quantiles at Q `levels` of the law that `samples` (S, N, ...) describe."""
        for each in self.calibrators:
            if isinstance(each, QuantileRecalibration):
                levels = [min(max(each.apply(level).item(), _INSIDE), 1 - _INSIDE) for level in levels]
        return self._stretched(self.law_quantiles(samples, levels))

    @abstractmethod
    def law_quantiles(self, samples: Tensor, levels: Sequence[float]) -> Tensor:
        """The same before calibration."""

    def _promise(self) -> ConformalIntervals | ConformalQuantiles | None:
        """The conformal calibrator that was fitted last."""
        kinds = ConformalIntervals | ConformalQuantiles
        return next((each for each in reversed(self.calibrators) if isinstance(each, kinds)), None)

    def _promised(self) -> tuple[Tensor, Tensor]:
        promise = self._promise()
        if promise is None:
            raise NotFittedError("no interval was promised: fit one with mcdrop calibrate --method conformal")
        if isinstance(promise, ConformalIntervals):
            lower, upper = promise.apply(self.mean, self.std)
        else:
            lower, upper = promise.apply(*self.quantile(promise.quantile_levels))
        return lower.to(self.mean.dtype), upper.to(self.mean.dtype)

    def _scaled(self, spread: Tensor) -> Tensor:
        scaled = spread if self.scale is None else spread.to(torch.float64) * self.scale
        return scaled.to(self.mean.dtype)

    def _stretched(self, values: Tensor) -> Tensor:
        """Values (..., N, ...) of the law, stretched about its mean."""
        if self.scale is None:
            return values
        centre = self.mean.to(torch.float64)
        return (centre + self.scale * (values.to(torch.float64) - centre)).to(values.dtype)


def gaussian_quantiles(means: Tensor, std: Tensor, levels: Sequence[float]) -> Tensor:
    """(Q, N, ...) quantiles at Q `levels` of mixtures of Gaussians; NaN where the model gave no numbers.

    Args:
        means: (S, N, ...) float64.
        std: Broadcasts to `means`.
        levels: Between 0 and 1.
    """
    known = (means.isfinite() & ~std.isnan()).all(0)
    values = mixture_quantiles(means.where(known, 0.0), std.where(known, 1.0), levels)
    return values.where(known, math.nan)
