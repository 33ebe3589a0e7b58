"""The predictive of a regression: the spread of the samples, and the noise around them.

Total variance = epistemic (variance of the samples) + aleatoric (1 / tau).
Source: Gal and Ghahramani 2016, arXiv:1506.02142, eq. 7.
"""

from dataclasses import dataclass, field
from typing import ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.conformal import ConformalIntervals
from mcdrop.conformal_quantiles import ConformalQuantiles
from mcdrop.errors import NotFittedError
from mcdrop.mixture import mixture_quantile
from mcdrop.predictive.predictive import ROWS_FIRST, Predictive, check_levels

__all__ = ["RegressionPredictive"]

_INSIDE: Final = 1e-6
"""Quantiles at 0 and 1 do not exist."""


@dataclass(frozen=True, eq=False, kw_only=True)
class RegressionPredictive(Predictive):
    """Real outputs of N rows.

    Attributes:
        tau: Noise precision, in 1 / squared units of the output; None if it was not fitted. Then `std` and
            the quantiles are those of the samples; with it, those of the mixture of Gaussians around them.
        scale: (N, ...) float64, how far calibration stretches the law about its mean; None if it does not.
    """

    task: ClassVar[str] = "regression"
    outputs: ClassVar[tuple[str, ...]] = (
        "mean",
        "std",
        "standard_error",
        "epistemic_std",
        "aleatoric_std",
        "deterministic",
    )

    tau: float | None = None
    scale: Tensor | None = field(default=None, metadata=ROWS_FIRST)

    @property
    def std(self) -> Tensor:
        """(N, ...) total standard deviation with tau, epistemic without; in units of the output."""
        if self.tau is None:
            return self._scaled(self.sample_std)
        return self._scaled((self.sample_std.to(torch.float64).square() + 1 / self.tau).sqrt())

    @property
    def epistemic_std(self) -> Tensor:
        """(N, ...) standard deviation of the samples, in units of the output."""
        return self._scaled(self.sample_std)

    @property
    def samples(self) -> Tensor:
        """(S, N, ...) what `mean` is the mean of.

        Raises:
            SamplesNotKeptError: If they were dropped.
        """
        return self._stretched(super().samples)

    @property
    def noise_std(self) -> float | Tensor | None:
        """Standard deviation of the noise around each sample: one for all, or (N, ...); None without tau."""
        if self.tau is None or self.scale is None:
            return None if self.tau is None else self.tau**-0.5
        noise: Tensor = self.tau**-0.5 * self.scale
        return noise

    @property
    def aleatoric_std(self) -> Tensor:
        """(N, ...) standard deviation of the noise, in units of the output.

        Raises:
            NotFittedError: If tau was not fitted.
        """
        if self.tau is None:
            raise NotFittedError(
                "the noise is not known: fit tau on held-out rows, and pass it as MCDropout(..., tau=)"
            )
        return self._scaled(torch.full_like(self.mean, self.tau**-0.5))

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
        """Names of the outputs: without tau there is no aleatoric part."""
        names = super().available_outputs()
        known = tuple(name for name in names if name != "aleatoric_std" or self.tau is not None)
        return known if self._promise() is None else (*known, "lower", "upper")

    def quantile_of(self, samples: Tensor, level: float) -> Tensor:
        """The quantile at `level` of the law that `samples` (S, N, ...) describe: like `mean`."""
        for each in self.calibrators:
            if isinstance(each, QuantileRecalibration):
                level = min(max(each.apply(level).item(), _INSIDE), 1 - _INSIDE)
        if self.tau is None:
            return self._stretched(super().quantile_of(samples, level))
        noise = torch.tensor(self.tau**-0.5, dtype=torch.float64, device=samples.device)
        found = mixture_quantile(samples.to(torch.float64), noise, level)
        return self._stretched(found.to(samples.dtype))

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
            lower, upper = promise.apply(*(self.quantile(level) for level in promise.quantile_levels))
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
