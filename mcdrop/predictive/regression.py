"""The predictive of a regression: the spread of the samples, and the noise around them.

Total variance = epistemic (variance of the samples) + aleatoric (1 / tau).
Source: Gal and Ghahramani 2016, arXiv:1506.02142, eq. 7.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mcdrop.errors import NotFittedError
from mcdrop.mixture import mixture_quantile
from mcdrop.predictive.predictive import Predictive

__all__ = ["RegressionPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True)
class RegressionPredictive(Predictive):
    """Real outputs of N rows.

    Attributes:
        tau: Noise precision, in 1 / squared units of the output; None if it was not fitted. Then `std` and
            the quantiles are those of the samples; with it, those of the mixture of Gaussians around them.
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

    @property
    def std(self) -> Tensor:
        """(N, ...) total standard deviation with tau, epistemic without; in units of the output."""
        if self.tau is None:
            return self.sample_std
        return (self.sample_std.to(torch.float64).square() + 1 / self.tau).sqrt().to(self.mean.dtype)

    @property
    def epistemic_std(self) -> Tensor:
        """(N, ...) standard deviation of the samples, in units of the output."""
        return self.sample_std

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
        return torch.full_like(self.mean, self.tau**-0.5)

    def available_outputs(self) -> tuple[str, ...]:
        """Names of the outputs: without tau there is no aleatoric part."""
        return tuple(name for name in self.outputs if name != "aleatoric_std" or self.tau is not None)

    def quantile_of(self, samples: Tensor, level: float) -> Tensor:
        """The quantile at `level` of the law that `samples` (S, N, ...) describe: like `mean`."""
        if self.tau is None:
            return super().quantile_of(samples, level)
        noise = torch.tensor(self.tau**-0.5, dtype=torch.float64, device=samples.device)
        return mixture_quantile(samples.to(torch.float64), noise, level).to(samples.dtype)
