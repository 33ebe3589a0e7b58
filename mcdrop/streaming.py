"""Scores fed in pieces: `update` with a batch, `merge` what two workers saw, `compute` at the end.

A mean of row scores needs three numbers, and bins of equal width need four for each bin, however many rows
there are. The moments are merged by Chan's formula, never as a difference of large sums.

Alphabet: N rows of a batch, B bins.
"""

from dataclasses import dataclass
from typing import Self

import torch

from mcdrop.errors import TooFewRowsError
from mcdrop.intervals import Interval, normal_interval
from mcdrop.metrics.reliability import ReliabilityBins, reliability
from mcdrop.shapes import TensorLike, finite, shaped

__all__ = ["StreamingMean", "StreamingReliability"]


@dataclass(frozen=True)
class StreamingMean:
    """Mean and spread of row scores (losses, errors, hits). Immutable: `update` and `merge` return a new one.

    Attributes:
        count: Rows so far.
        mean: Their mean, in units of the score.
        square: Sum of their squared deviations from the mean.
    """

    count: int = 0
    mean: float = 0.0
    square: float = 0.0

    def update(self, values: TensorLike) -> Self:
        """With the rows of a batch.

        Args:
            values: (N,) one score per row, finite.

        Raises:
            ShapeError: If `values` is not one-dimensional or is empty.
            DomainError: If a value is not finite.
        """
        batch = finite("values", shaped("values", values, "N"))
        mean = batch.mean().item()
        return self.merge(type(self)(len(batch), mean, (batch - mean).square().sum().item()))

    def merge(self, other: "StreamingMean") -> Self:
        """With the rows that `other` saw.

        Source:
            Chan, Golub and LeVeque 1983, "Algorithms for computing the sample variance", eq. 2.1.
        """
        count = self.count + other.count
        if count == 0:
            return self
        step = other.mean - self.mean
        mean = self.mean + step * other.count / count
        square = self.square + other.square + step**2 * self.count * other.count / count
        return type(self)(count, mean, square)

    def compute(self) -> float:
        """The mean.

        Raises:
            TooFewRowsError: If there was no row.
        """
        if self.count == 0:
            raise TooFewRowsError("a mean needs at least 1 row, got 0")
        return self.mean

    def interval(self, *, level: float = 0.95) -> Interval:
        """Normal interval of the mean.

        Raises:
            TooFewRowsError: If there were fewer than two rows.
            DomainError: If the level is not between 0 and 1.
        """
        if self.count < 2:
            raise TooFewRowsError(f"an interval of a mean needs at least 2 rows, got {self.count}")
        return normal_interval(self.mean, self.square / (self.count - 1), self.count, level=level)


@dataclass(frozen=True)
class StreamingReliability:
    """Reliability bins of equal width. Immutable: `update` and `merge` return a new one.

    Attributes:
        bins: The sums so far.
    """

    bins: ReliabilityBins

    @classmethod
    def empty(cls, *, bins: int = 15) -> Self:
        """Without rows."""
        zeros = torch.zeros(bins, dtype=torch.float64, device="cpu")
        return cls(ReliabilityBins(zeros, zeros, zeros, zeros))

    def update(self, confidence: TensorLike, event: TensorLike) -> Self:
        """With the pairs of a batch.

        Args:
            confidence: (N,) stated probabilities.
            event: (N,) outcomes, 0 or 1.

        Raises:
            ShapeError: If the shapes differ.
            DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
        """
        batch = reliability(confidence, event, bins=len(self.bins.count))
        return type(self)(self.bins.merge(batch))

    def merge(self, other: "StreamingReliability") -> Self:
        """With the pairs that `other` saw.

        Raises:
            ShapeError: If the numbers of bins differ.
        """
        return type(self)(self.bins.merge(other.bins))

    def compute(self) -> ReliabilityBins:
        """The bins, from which the calibration errors follow.

        Raises:
            TooFewRowsError: If there was no pair.
        """
        if not bool(self.bins.count.any()):
            raise TooFewRowsError("a calibration error needs at least 1 row, got 0")
        return self.bins
