"""Split conformal prediction: intervals and sets that hold with the promised probability, whatever the model.

If calibration rows and new rows are exchangeable, a new row is covered with probability at least `level`, on
average over calibration sets. The bound is the k-th smallest calibration score with k = ceil((n + 1)
level); when k > n there are too few rows to promise anything, and it is infinite: intervals are unbounded,
sets hold every class.

Alphabet: N rows, C classes (last), ... further dimensions (outputs, which share the bound).
"""

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, ClassVar

import torch
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.draws import row_uniforms
from mcdrop.shapes import (
    TensorLike,
    check_fraction,
    class_labels,
    float64,
    nonnegative,
    probability_laws,
    same_shape,
    shaped,
)

__all__ = [
    "AdaptiveSets",
    "ConformalCalibrator",
    "ConformalIntervals",
    "conformal_bound",
    "conformal_rows",
    "fit_adaptive_sets",
    "fit_conformal_intervals",
]


@dataclass(frozen=True)
class ConformalCalibrator(Calibrator):
    """A promise with a bound. Abstract.

    Attributes:
        level: Promised coverage.
        bound: Infinite if there were too few rows.
    """

    level: float
    bound: float

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the `kind`; an infinite bound is None."""
        return super().to_dict() | {"bound": None if math.isinf(self.bound) else self.bound}

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"bound": math.inf if data["bound"] is None else data["bound"]}


@dataclass(frozen=True)
class ConformalIntervals(ConformalCalibrator):
    """Intervals mean -/+ bound x std.

    Attributes:
        level: Promised coverage.
        bound: In standard deviations; infinite if there were too few rows.
    """

    kind: ClassVar[str] = "conformal_intervals"

    def apply(self, mean: TensorLike, std: TensorLike) -> tuple[Tensor, Tensor]:
        """The intervals.

        Args:
            mean: (N, ...) predictions.
            std: (N, ...) their standard deviations, at least 0.

        Returns:
            Lower and upper ends, (N, ...), in units of the output.

        Raises:
            ShapeError: If the shapes differ.
            DomainError: If a std is negative.
        """
        centre = shaped("mean", mean, "N, ...")
        spread = nonnegative("std", same_shape("std", float64("std", std), centre.shape))
        margin = torch.full_like(centre, math.inf) if math.isinf(self.bound) else self.bound * spread
        return centre - margin, centre + margin


@dataclass(frozen=True)
class AdaptiveSets(ConformalCalibrator):
    """Sets of classes, larger where the prediction is less sure.

    Attributes:
        level: Promised coverage.
        bound: Of the probability mass; infinite if there were too few rows.
        randomized: Whether a draw decides about the last class, which makes the coverage exact; without it
            sets hold the most probable class always.
        seed: Of these draws.
    """

    kind: ClassVar[str] = "adaptive_sets"

    randomized: bool
    seed: int

    def apply(self, probs: TensorLike, *, row_ids: TensorLike | None = None) -> Tensor:
        """The sets. Some may be empty: that is where randomised sets save what they spend elsewhere.

        Args:
            probs: (N, C) mean class probabilities.
            row_ids: (N,) whole numbers that name the rows, for the draws; 0 .. N - 1 by default.

        Returns:
            (N, C) bool, True for the classes in the set.

        Raises:
            ShapeError: If the shapes do not fit.
            DomainError: If `probs` does not hold probabilities that sum to 1.
        """
        laws = probability_laws("probs", probs, "N, C")
        share = _shares(laws, row_ids, randomized=self.randomized, seed=self.seed)
        return _mass_before(laws) + share.unsqueeze(-1) * laws <= self.bound


def conformal_bound(scores: TensorLike, *, level: float) -> float:
    """The k-th smallest score with k = ceil((n + 1) level); infinite when k > n.

    Args:
        scores: (N,) calibration scores; larger is worse.
        level: Promised coverage, between 0 and 1.

    Returns:
        The bound, in units of the scores.

    Raises:
        ShapeError: If `scores` is not one-dimensional or is empty.
        DomainError: If the level is not between 0 and 1.

    Source:
        Vovk, Gammerman and Shafer 2005; Lei et al. 2018, arXiv:1604.04173, section 2.
    """
    check_fraction("level", level)
    ordered = shaped("scores", scores, "N").sort().values
    # as a fraction of its shortest decimal: (n + 1) x 0.9 in floating point can end just above a whole number
    rank = math.ceil((len(ordered) + 1) * Fraction(repr(float(level))))
    return math.inf if rank > len(ordered) else ordered[rank - 1].item()


def conformal_rows(level: float) -> int:
    """The fewest rows from which the bound is finite.

    Args:
        level: Promised coverage, between 0 and 1.
    """
    odds = Fraction(repr(float(level))) / (1 - Fraction(repr(float(level))))
    return max(1, math.ceil(odds))


def fit_conformal_intervals(
    mean: TensorLike,
    std: TensorLike,
    y: TensorLike,
    *,
    level: float = 0.9,
    settings: SamplingSettings | None = None,
    digest: str | None = None,
) -> ConformalIntervals:
    """Intervals that scale with the predicted std, from held-out rows.

    Args:
        mean: (N, ...) predictions for held-out rows.
        std: (N, ...) their standard deviations, at least 0; an error where it is 0 counts as infinitely bad.
        y: (N, ...) outcomes.
        level: Promised coverage.
        settings: How the samples were drawn.
        digest: Of the rows; made from the three arrays if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is negative or the level is not between 0 and 1.

    Source:
        Lei et al. 2018, arXiv:1604.04173, section 5.2 (locally weighted scores).
    """
    centre = shaped("mean", mean, "N, ...")
    spread = nonnegative("std", same_shape("std", float64("std", std), centre.shape))
    error = (same_shape("y", float64("y", y), centre.shape) - centre).abs()
    scores = torch.where(error == 0, 0.0, error / spread)  # no error is no error, even where the std is 0
    worst = scores.reshape(len(scores), -1).amax(1)  # rows are exchangeable, outputs of a row are not
    bound = conformal_bound(worst, level=level)
    fitted_with = record(len(centre), settings, digest or data_digest(mean, std, y))
    return ConformalIntervals(fitted_with, level, bound)


def fit_adaptive_sets(
    probs: TensorLike,
    y: TensorLike,
    *,
    level: float = 0.9,
    randomized: bool = True,
    seed: int = 0,
    row_ids: TensorLike | None = None,
    settings: SamplingSettings | None = None,
    digest: str | None = None,
) -> AdaptiveSets:
    """Adaptive prediction sets, from held-out rows.

    The score of a class is the probability of all that are more probable plus a share of its own: a
    replayable draw if randomised, none of it if not (then coverage is above the promise). Packages take all
    of it instead, which keeps the promise as well; but where probabilities are nearly 0 and 1 every score is
    then nearly 1, and sets hold nearly every class (on `models/digits`: 7.9 of 10 instead of 1).

    Args:
        probs: (N, C) mean class probabilities of held-out rows.
        y: (N,) labels.
        level: Promised coverage.
        randomized: Whether the share is drawn.
        seed: Of the draws, here and in `apply`.
        row_ids: (N,) whole numbers that name these rows; by default 2^52 + 0 .. N - 1, apart from rows to
            come.
        settings: How the samples were drawn.
        digest: Of the rows; made from `probs` and `y` if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities, a label is no class, or the level is not between 0 and
            1.

    Source:
        Romano, Sesia and Candes 2020, arXiv:2006.02544, eq. 4 to 9.
    """
    laws = probability_laws("probs", probs, "N, C")
    labels = class_labels(y, like=laws.shape[:-1], classes=laws.shape[-1])
    ids = 2.0**52 + torch.arange(len(laws), dtype=torch.float64, device="cpu") if row_ids is None else row_ids
    share = _shares(laws, ids, randomized=randomized, seed=seed)
    scores = _mass_before(laws) + share.unsqueeze(-1) * laws
    bound = conformal_bound(scores.gather(-1, labels.unsqueeze(-1)).squeeze(-1), level=level)
    fitted_with = record(len(laws), settings, digest or data_digest(probs, y))
    return AdaptiveSets(fitted_with, level, bound, randomized, seed)


def _mass_before(laws: Tensor) -> Tensor:
    """(N, C) probability of all classes that are more probable; of equals the first comes first."""
    ordered, order = laws.cpu().sort(dim=-1, descending=True, stable=True)  # CUDA fixes no order of the sums
    before = ordered.cumsum(-1) - ordered
    return torch.empty_like(ordered).scatter_(-1, order, before).to(laws.device)


def _shares(laws: Tensor, row_ids: TensorLike | None, *, randomized: bool, seed: int) -> Tensor:
    """(N,) the share of its own probability that counts in a class's score."""
    if not randomized:
        return torch.zeros_like(laws[:, 0])
    ids = (
        torch.arange(len(laws), dtype=torch.float64, device="cpu")
        if row_ids is None
        else float64("row_ids", row_ids)
    )
    return row_uniforms(same_shape("row_ids", ids, laws.shape[:1]), seed=seed).to(laws.device)
