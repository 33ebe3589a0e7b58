"""The predictive of a regression: the spread of the samples, and the noise around them.

Total variance = epistemic (variance of the samples) + aleatoric (1 / tau).
Source: Gal and Ghahramani 2016, arXiv:1506.02142, eq. 7.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mcdrop.empirical import sample_quantiles
from mcdrop.errors import NotFittedError
from mcdrop.predictive.real import RealPredictive, gaussian_quantiles

__all__ = ["RegressionPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class RegressionPredictive(RealPredictive):
    """Real outputs of N rows.

    Attributes:
        tau: Noise precision, in 1 / squared units of the output; None if it was not fitted. Then `std` and
            the quantiles are those of the samples; with it, those of the mixture of Gaussians around them.
    """

    task: ClassVar[str] = "regression"

    tau: float | None = None

    @property
    def std(self) -> Tensor:
        """(N, ...) total standard deviation with tau, epistemic without; in units of the output."""
        if self.tau is None:
            return self._scaled(self.sample_std)
        return self._scaled((self.sample_std.to(torch.float64).square() + 1 / self.tau).sqrt())

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

    def available_outputs(self) -> tuple[str, ...]:
        """Names of the outputs: without tau there is no aleatoric part."""
        names = super().available_outputs()
        return tuple(name for name in names if name != "aleatoric_std" or self.tau is not None)

    def law_quantiles(self, samples: Tensor, levels: Sequence[float]) -> Tensor:
        """(Q, N, ...) quantiles at Q `levels` of samples (S, N, ...), or of the Gaussians around them."""
        if self.tau is None:
            return sample_quantiles(samples, levels)
        noise = torch.tensor(self.tau**-0.5, dtype=torch.float64, device=samples.device)
        return gaussian_quantiles(samples.to(torch.float64), noise, levels).to(samples.dtype)
