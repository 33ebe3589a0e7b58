"""Reliability bins: pairs of confidence and event, summed where the confidences are alike.

Bins: *equal width*, closed on the right, the first closed on both sides, so that 1 lies in the last bin; or
*equal mass*, where equal confidences stay together. Confidences and edges are compared in float64.

Alphabet: N pairs, B bins.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal

import torch
from torch import Tensor

from mcdrop.errors import OptionError, ShapeError
from mcdrop.shapes import TensorLike, event_labels, probabilities

__all__ = ["Binning", "ReliabilityBins", "bin_index", "confidence_pairs", "reliability"]

Binning = Literal["equal_width", "equal_mass"]
"""How confidences are put into bins."""


@dataclass(frozen=True)
class ReliabilityBins:
    """What a reliability diagram shows, as sums, so that pieces of the data can be added.

    Attributes:
        count: (B,) pairs in each bin.
        confidence_sum: (B,) sum of the confidences.
        event_sum: (B,) number of events.
        square_sum: (B,) sum of (event - confidence)^2.
    """

    count: Tensor
    confidence_sum: Tensor
    event_sum: Tensor
    square_sum: Tensor

    @property
    def confidence(self) -> Tensor:
        """(B,) mean confidence; NaN in an empty bin."""
        return self.confidence_sum / self.count

    @property
    def frequency(self) -> Tensor:
        """(B,) share of events; NaN in an empty bin."""
        return self.event_sum / self.count

    @property
    def gap(self) -> Tensor:
        """(B,) frequency minus confidence, positive where the confidence is too low; 0 in an empty bin."""
        return (self.event_sum - self.confidence_sum) / self.count.clamp(min=1)

    def merge(self, other: "ReliabilityBins") -> "ReliabilityBins":
        """The bins of both sets of pairs; only bins of equal width can be added.

        Raises:
            ShapeError: If the numbers of bins differ.
        """
        if self.count.shape != other.count.shape:
            wanted, came = len(self.count), len(other.count)
            raise ShapeError(f"bins can be merged only with as many: {wanted} here, got {came}")
        return ReliabilityBins(
            self.count + other.count,
            self.confidence_sum + other.confidence_sum,
            self.event_sum + other.event_sum,
            self.square_sum + other.square_sum,
        )

    def expected_error(self) -> Tensor:
        """() mean of the absolute gaps, weighted by the pairs in each bin."""
        return (self.event_sum - self.confidence_sum).abs().sum() / self.count.sum()

    def maximum_error(self) -> Tensor:
        """() the largest absolute gap."""
        return self.gap.abs().amax()


def reliability(
    confidence: TensorLike, event: TensorLike, *, bins: int = 15, binning: Binning = "equal_width"
) -> ReliabilityBins:
    """The pairs, summed in bins.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: How many bins.
        binning: `equal_width` or `equal_mass`.

    Returns:
        The bins; some may be empty.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
        OptionError: If there is no such binning, or fewer than one bin.
    """
    confidence, event = confidence_pairs(confidence, event)
    index = bin_index(confidence, bins=bins, binning=binning)
    residual = event - confidence
    columns = torch.stack([torch.ones_like(confidence), confidence, event, residual.square()])
    sums = torch.zeros(4, bins, dtype=torch.float64, device=confidence.device).index_add_(1, index, columns)
    return ReliabilityBins(*sums)


def confidence_pairs(confidence: TensorLike, event: TensorLike) -> tuple[Tensor, Tensor]:
    """Checked confidences and events, both flat and float64.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1] or an outcome is not 0 or 1.
    """
    checked = probabilities("confidence", confidence, "N, ...")
    return checked.flatten(), event_labels(event, like=checked.shape, name="event").flatten()


def bin_index(confidence: Tensor, *, bins: int, binning: Binning) -> Tensor:
    """The bin of every confidence.

    Args:
        confidence: (N,) float64 between 0 and 1.
        bins: How many bins.
        binning: `equal_width` or `equal_mass`.

    Returns:
        (N,) int64, from 0 to bins - 1.

    Raises:
        OptionError: If there is no such binning, or fewer than one bin.
    """
    if bins < 1:
        raise OptionError(f"bins must be at least 1, got {bins}")
    if binning not in _BINNINGS:
        raise OptionError(f"binning must be one of {', '.join(_BINNINGS)}, got {binning!r}")
    return _BINNINGS[binning](confidence, bins)


def _equal_width(confidence: Tensor, bins: int) -> Tensor:
    edges = torch.arange(1, bins, dtype=torch.float64, device=confidence.device) / bins
    return torch.bucketize(confidence.contiguous(), edges)  # a value on an edge belongs to the bin below it


def _equal_mass(confidence: Tensor, bins: int) -> Tensor:
    """By mid-rank, so that equal values share a bin; without ties the bins' sizes differ by at most one."""
    _, inverse, count = torch.unique(confidence, return_inverse=True, return_counts=True)
    before = count.cumsum(0) - count
    twice_mid_rank = 2 * before + count - 1
    index: Tensor = (bins * twice_mid_rank // (2 * confidence.numel()))[inverse]
    return index


_BINNINGS: Final[dict[str, Callable[[Tensor, int], Tensor]]] = {
    "equal_width": _equal_width,
    "equal_mass": _equal_mass,
}
