"""The predictive of a network that tells its own noise: a mean and a variance from every sample.

Sample s says N(mean_s, variance_s); the prediction is the mean of these S laws.
Total variance = epistemic (variance of the means) + aleatoric (mean of the variances).
Source: Kendall and Gal 2017, arXiv:1703.04977, eq. 9.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from mcdrop.predictive.predictive import ROWS_FIRST
from mcdrop.predictive.real import RealPredictive, gaussian_quantiles

__all__ = ["HeteroscedasticPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class HeteroscedasticPredictive(RealPredictive):
    """Real outputs of N rows, each with the noise that the network expects.

    Kept samples are (S, N, ..., 2): mean and variance of each.

    Attributes:
        mean_variance: (N, ...) float64, mean of the samples' variances, in squared units of the output.
        deterministic_std: (N, ...) standard deviation of the noise that the pass with dropout off tells.
    """

    task: ClassVar[str] = "heteroscedastic"
    default_outputs: ClassVar[tuple[str, ...]] = ("mean", "std", "epistemic_std", "aleatoric_std")

    tau: ClassVar[None] = None

    mean_variance: Tensor = field(metadata=ROWS_FIRST)
    deterministic_std: Tensor = field(metadata=ROWS_FIRST)

    @property
    def std(self) -> Tensor:
        """(N, ...) total standard deviation, in units of the output."""
        epistemic = self.sample_std.to(torch.float64).square()
        return self._scaled((epistemic + self.mean_variance).sqrt())

    @property
    def aleatoric_std(self) -> Tensor:
        """(N, ...) root of the mean of the samples' variances, in units of the output."""
        return self._scaled(self.mean_variance.sqrt())

    @property
    def samples(self) -> Tensor:
        """(S, N, ...) the samples' means.

        Raises:
            SamplesNotKeptError: If they were dropped.
        """
        return self._stretched(super().samples[..., 0])

    @property
    def noise_std(self) -> Tensor:
        """(S, N, ...) standard deviation of the noise around each sample's mean.

        Raises:
            SamplesNotKeptError: If they were dropped.
        """
        return self._scaled(super().samples[..., 1].sqrt())

    def law_quantiles(self, samples: Tensor, levels: Sequence[float]) -> Tensor:
        """(Q, N, ...) quantiles at Q `levels` of the mixture of means and variances (S, N, ..., 2)."""
        means, variances = samples.to(torch.float64).unbind(-1)
        spreads = variances.sqrt()
        return gaussian_quantiles(means, spreads, levels).to(samples.dtype)
