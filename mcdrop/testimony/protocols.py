"""What is asked of a prediction, and what is then known about it.

Alphabet: S samples, N rows, k cases of a row, ... further dimensions.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, cast

import torch
from torch import Tensor

from mcdrop.assessment.readings import Readings
from mcdrop.assessment.samples import samples_points
from mcdrop.assessment.sections import SamplesPoint
from mcdrop.assessment.splits import Described
from mcdrop.errors import SamplesNotKeptError

__all__ = ["Prediction", "RegressionPrediction", "Testimony", "Wanted", "row_mean", "samples_of"]


class Prediction(Protocol):
    """What `evaluate` asks of a prediction."""

    @property
    def task(self) -> str:
        """`classification`, `binary`, `multilabel`, `regression` or `heteroscedastic`."""

    @property
    def n_samples(self) -> int:
        """S."""

    @property
    def seed(self) -> int:
        """Of the masks."""

    @property
    def mean(self) -> Tensor:
        """(N, ...) mean over the samples."""

    @property
    def deterministic(self) -> Tensor | None:
        """(N, ...) what the model says with dropout off, if known."""


class RegressionPrediction(Prediction, Protocol):
    """What `evaluate` asks of a regression beyond that.

    It may also have `noise_std` (of each sample, broadcasting to the samples), `std` and `epistemic_std`.
    """

    @property
    def samples(self) -> Tensor:
        """(S, N, ...); raises `SamplesNotKeptError` if they were dropped."""

    @property
    def tau(self) -> float | None:
        """Noise precision."""

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Central interval; raises `SamplesNotKeptError` if it is not known."""


@dataclass(frozen=True)
class Testimony:
    """A prediction, read.

    Attributes:
        pred: It.
        y: (N, ...) outcomes.
        readings: Of the Monte Carlo prediction.
        single: Of the deterministic pass, if known.
        parts: (N, k) parts of the uncertainty by name.
        wrong: (N, k) errors; None for a regression.
        described: What is said of single rows.
        running: By name of a score, its terms for each sample (S, N, ...), and from terms to the score.
        interval: Central intervals of some rows by level; None if they are not known.
        noise_known: Whether a regression's law holds its noise.
        notes: What is missing, and why.
    """

    pred: Prediction
    y: Tensor
    readings: Readings
    single: Readings | None
    parts: Mapping[str, Tensor]
    wrong: Tensor | None
    described: Described
    running: Mapping[str, tuple[Tensor, Callable[[Tensor], float]]] = field(default_factory=dict)
    interval: Callable[[float], tuple[Tensor, Tensor]] | None = None
    noise_known: bool = True
    notes: tuple[str, ...] = ()

    @property
    def task(self) -> str:
        """Of the prediction."""
        return self.pred.task

    @property
    def n_rows(self) -> int:
        """N."""
        return len(self.pred.mean)

    @property
    def n_samples(self) -> int:
        """S."""
        return self.pred.n_samples

    @property
    def seed(self) -> int:
        """Of the masks."""
        return self.pred.seed

    def samples_points(self) -> tuple[SamplesPoint, ...]:
        """Scores against the number of samples."""
        return tuple(
            point
            for name, (terms, score) in self.running.items()
            for point in samples_points(terms, {name: score})
        )


@dataclass(frozen=True)
class Wanted:
    """How to read a prediction.

    Attributes:
        coverage_level: Of the intervals to check.
        joint: Whether the outputs of a regression are averaged.
        classes: Names of the classes.
    """

    coverage_level: float
    joint: bool
    classes: Sequence[str] | None


def samples_of(pred: Prediction) -> Tensor | None:
    """(S, N, ...) if they were kept."""
    try:
        return cast(Tensor | None, getattr(pred, "samples", None))
    except SamplesNotKeptError:
        return None


def row_mean(values: Tensor) -> Tensor:
    """(N,) mean over what else a row has, float64."""
    return values.to(torch.float64).reshape(len(values), -1).mean(1)
