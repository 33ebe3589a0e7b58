"""tau: the precision of the noise around the samples of a regression, fitted on held-out rows.

Dropout samples tell how far the network's functions disagree; how far outcomes scatter around them has to be
measured.

Alphabet: S samples, N rows, ... further dimensions (outputs, which share tau).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.calibration.line_search import minimise_positive
from mcdrop.errors import DomainError
from mcdrop.metrics.regression import mixture_negative_log_likelihood
from mcdrop.shapes import TensorLike, check_rows, finite, float64, same_shape, shaped

__all__ = ["NoisePrecision", "fit_noise_precision"]

_LEAST_ROWS: Final = 20
_REACH: Final = (
    1000.0  # the noise is sought from a thousandth of the typical error up to ten times that error
)


@dataclass(frozen=True)
class NoisePrecision(Calibrator):
    """A fitted noise precision.

    Attributes:
        tau: In 1 / squared units of the output.
    """

    kind: ClassVar[str] = "noise_precision"

    tau: float

    def apply(self, epistemic_std: TensorLike) -> Tensor:
        """The total standard deviation: sqrt(epistemic_std^2 + 1 / tau).

        Args:
            epistemic_std: (N, ...) spread of the samples, in units of the output.

        Returns:
            (N, ...) units of the output.

        Raises:
            DomainError: If a value is NaN.
        """
        return (float64("epistemic_std", epistemic_std).square() + 1 / self.tau).sqrt()


def fit_noise_precision(
    samples: TensorLike, y: TensorLike, *, settings: SamplingSettings | None = None, digest: str | None = None
) -> NoisePrecision:
    """The tau under which the mixture of the samples' Gaussians is most likely.

    Args:
        samples: (S, N, ...) outputs for held-out rows.
        y: (N, ...) their outcomes.
        settings: How the samples were drawn.
        digest: Of the rows; made from `samples` and `y` if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If every sample hits its outcome: then the noise has no size.
        TooFewRowsError: If there are fewer than 20 rows.

    Source:
        Gal and Ghahramani 2016, arXiv:1506.02142, eq. 8.
    """
    draws = finite("samples", shaped("samples", samples, "S, N, ..."))
    outcome = finite("y", same_shape("y", float64("y", y), draws.shape[1:]))
    check_rows(len(outcome), needed=_LEAST_ROWS, what="fitting tau")
    typical = (outcome - draws).square().mean().sqrt().item()
    if typical == 0:
        raise DomainError("every sample equals its outcome, so there is no noise to fit; got an error of 0")

    def loss(std: float) -> float:
        return mixture_negative_log_likelihood(draws, std, outcome).mean().item()

    best = minimise_positive(loss, lowest=typical / _REACH, highest=10 * typical)
    return NoisePrecision(record(len(outcome), settings, digest or data_digest(samples, y)), best**-2)
