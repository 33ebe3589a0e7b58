"""Factors for standard deviations, so that held-out squared errors are as large as predicted.

One for all, or one for each level of the predicted standard deviation, which also repairs a spread that is
too small where it is small and too large where it is large.

Alphabet: N rows, L levels, ... further dimensions (outputs, which share the factors).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.errors import DomainError, OptionError
from mcdrop.shapes import TensorLike, check_rows, float64, nonnegative, same_shape, shaped

__all__ = ["LevelStdScaling", "StdScaling", "fit_level_std_scaling", "fit_std_scaling"]

_LEAST_ROWS: Final = 20
_ROWS_PER_LEVEL: Final = 50
_MOST_LEVELS: Final = 10


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


@dataclass(frozen=True)
class LevelStdScaling(Calibrator):
    """A fitted factor for each level of the predicted standard deviation.

    Attributes:
        edges: Increasing standard deviations that part the levels; a value on an edge is of the lower level.
        factors: One more than the edges.
    """

    kind: ClassVar[str] = "level_std_scaling"

    edges: tuple[float, ...]
    factors: tuple[float, ...]

    def apply(self, std: TensorLike) -> Tensor:
        """The scaled standard deviations.

        Args:
            std: (N, ...) standard deviations, at least 0.

        Returns:
            (N, ...) in the same units.

        Raises:
            DomainError: If a value is negative.
        """
        spread = nonnegative("std", float64("std", std))
        factors = torch.tensor(self.factors, dtype=torch.float64, device=spread.device)
        return spread * factors[_level(spread, self.edges)]

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"edges": tuple(data["edges"]), "factors": tuple(data["factors"])}


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
    error, spread = _errors(mean, std, y, needed=_LEAST_ROWS)
    factor = (error / spread).square().mean().sqrt().item()
    return StdScaling(record(len(error), settings, digest or data_digest(mean, std, y)), factor)


def fit_level_std_scaling(
    mean: TensorLike,
    std: TensorLike,
    y: TensorLike,
    *,
    levels: int | None = None,
    settings: SamplingSettings | None = None,
    digest: str | None = None,
) -> LevelStdScaling:
    """The factor of the largest Gaussian likelihood in each level; levels hold equally many rows.

    Args:
        mean: (N, ...) predictions for held-out rows.
        std: (N, ...) their standard deviations, positive.
        y: (N, ...) outcomes.
        levels: L; equal standard deviations share a level, so there may be fewer. By default one for every
            50 rows, at most 10: errors with heavy tails need that many to tell their size.
        settings: How the samples were drawn.
        digest: Of the rows; made from the three arrays if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is not positive.
        OptionError: If `levels` is not positive.
        TooFewRowsError: If there are fewer than 20 rows for each level.

    Source:
        Frenkel and Goldberger 2022, "Calibration of a regression network based on the predictive variance
        with applications to medical images"; Pernot 2023, arXiv:2310.11978, section II.
    """
    if levels is not None and levels < 1:
        raise OptionError(f"levels must be at least 1, got {levels}")
    error, spread = _errors(mean, std, y, needed=_LEAST_ROWS * (levels or 1))
    edges = _edges(spread.flatten(), levels or _default_levels(len(error)))
    level = _level(spread.flatten(), edges)
    score = (error / spread).square().flatten()
    factors = [score[level == each].mean().sqrt().item() for each in range(len(edges) + 1)]
    fitted_with = record(len(error), settings, digest or data_digest(mean, std, y))
    return LevelStdScaling(fitted_with, edges, tuple(factors))


def _errors(mean: TensorLike, std: TensorLike, y: TensorLike, *, needed: int) -> tuple[Tensor, Tensor]:
    """Errors and positive standard deviations, (N, ...), of enough rows."""
    centre = shaped("mean", mean, "N, ...")
    spread = same_shape("std", float64("std", std), centre.shape)
    error = same_shape("y", float64("y", y), centre.shape) - centre
    check_rows(len(centre), needed=needed, what="fitting a factor for the std")
    if bool((spread <= 0).any()):
        raise DomainError(f"std must be positive to be scaled, got {spread.min().item():.6g}")
    return error, spread


def _default_levels(rows: int) -> int:
    return max(1, min(_MOST_LEVELS, rows // _ROWS_PER_LEVEL))


def _edges(spread: Tensor, levels: int) -> tuple[float, ...]:
    """Between the levels, of equally many values; none at or above the largest, so that no level is empty."""
    ordered = spread.sort().values
    places = [len(ordered) * k // levels - 1 for k in range(1, levels)]
    between = {ordered[place].item() for place in places}
    return tuple(sorted(between - {ordered[-1].item()}))


def _level(spread: Tensor, edges: tuple[float, ...]) -> Tensor:
    return torch.bucketize(spread, torch.tensor(edges, dtype=torch.float64, device=spread.device))
