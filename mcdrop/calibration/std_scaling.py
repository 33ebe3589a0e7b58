"""One factor for all standard deviations, so that held-out squared errors are as large as predicted.

Alphabet: N rows, ... further dimensions (outputs, which share the factor).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.errors import DomainError
from mcdrop.shapes import TensorLike, check_rows, float64, nonnegative, same_shape, shaped

__all__ = ["StdScaling", "fit_std_scaling"]

_LEAST_ROWS: Final = 20


@dataclass(frozen=True)
class StdScaling(Calibrator):
    """A fitted factor.

    Attributes:
        factor: What standard deviations are multiplied by; above 1 makes them larger.
    """

    kind: ClassVar[str] = "std_scaling"

    factor: float

    def apply(self, std: TensorLike) -> Tensor:
        """The scaled standard deviations.

        Args:
            std: (N, ...) standard deviations, at least 0.

        Returns:
            (N, ...) in the same units.

        Raises:
            DomainError: If a value is negative.
        """
        return nonnegative("std", float64("std", std)) * self.factor


def fit_std_scaling(
    mean: TensorLike,
    std: TensorLike,
    y: TensorLike,
    *,
    settings: SamplingSettings | None = None,
    digest: str | None = None,
) -> StdScaling:
    """The factor of the largest Gaussian likelihood: the root of the mean squared standardised error.

    Args:
        mean: (N, ...) predictions for held-out rows.
        std: (N, ...) their standard deviations, positive.
        y: (N, ...) outcomes.
        settings: How the samples were drawn.
        digest: Of the rows; made from the three arrays if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is not positive.
        TooFewRowsError: If there are fewer than 20 rows.

    Source:
        Laves et al. 2020, arXiv:2006.11584, eq. 12.
    """
    centre = shaped("mean", mean, "N, ...")
    spread = same_shape("std", float64("std", std), centre.shape)
    error = same_shape("y", float64("y", y), centre.shape) - centre
    check_rows(len(centre), needed=_LEAST_ROWS, what="fitting a factor for the std")
    if bool((spread <= 0).any()):
        raise DomainError(f"std must be positive to be scaled, got {spread.min().item():.6g}")
    factor = (error / spread).square().mean().sqrt().item()
    return StdScaling(record(len(centre), settings, digest or data_digest(mean, std, y)), factor)
