"""Counters and histograms on the way of every request, in plain numbers until Prometheus asks for them.

prometheus_client's own look up the labels, check and lock several times for each number. These are for one
thread: the event loop's.
"""

import time
from bisect import bisect_left
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final, Generic, TypeVar

import numpy as np
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mcdrop_service.facts import Array

__all__ = ["Counters", "Histograms"]

Labels = tuple[str, ...]
T = TypeVar("T")

FEW: Final = 64
"""Up to this many numbers plain Python is faster than NumPy."""


class _Family(Collector, Generic[T]):
    """Something for each of some sets of labels.

    Args:
        name: In Prometheus.
        about: What is counted or measured.
        labels: Their names.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str]) -> None:
        self._name, self._about, self._labels = name, about, labels
        self._members: defaultdict[Labels, T] = defaultdict(self._new)

    def _new(self) -> T:
        raise NotImplementedError


@dataclass(slots=True)
class Count:
    """A sum, and when it was begun, in seconds since 1970."""

    total: float = 0.0
    born_s: float = field(default_factory=time.time)


class Counters(_Family[Count]):
    """A counter for each of some sets of labels."""

    def add(self, labels: Labels, more: float = 1) -> None:
        """Count.

        Args:
            labels: Values, in the order of their names.
            more: How many.
        """
        self._members[labels].total += more

    def collect(self) -> Iterable[Metric]:
        """What Prometheus' client asks of a collector."""
        family = CounterMetricFamily(self._name, self._about, labels=self._labels)
        for labels, count in self._members.items():
            family.add_metric(labels, count.total, created=count.born_s)
        return [family]

    def _new(self) -> Count:
        return Count()


@dataclass(slots=True)
class Bins:
    """Counts between the bounds, the sum of all values, and when they were begun, in seconds since 1970."""

    counts: list[int]
    total: float = 0.0
    born_s: float = field(default_factory=time.time)


class Histograms(_Family[Bins]):
    """A histogram for each of some sets of labels.

    Args:
        name: In Prometheus.
        about: What is measured.
        labels: Their names.
        bounds: Upper ends of the bins, in order; there is one more without an end.
    """

    def __init__(self, name: str, about: str, labels: Sequence[str], bounds: Sequence[float]) -> None:
        super().__init__(name, about, labels)
        self._bounds = tuple(map(float, bounds))

    def take(self, labels: Labels, values: Sequence[float]) -> None:
        """Count some values.

        Args:
            labels: Values, in the order of their names.
            values: Finite.
        """
        if not values:
            return
        bins = self._members[labels]
        for value in values:
            bins.counts[bisect_left(self._bounds, value)] += 1
        bins.total += sum(values)

    def take_finite(self, labels: Labels, values: Array) -> None:
        """Count the finite ones of some values: one that is not would spoil the sum for ever.

        Args:
            labels: Values, in the order of their names.
            values: (n,).
        """
        finite = values[np.isfinite(values)]
        if len(finite) <= FEW:
            self.take(labels, finite.tolist())
            return
        places = np.searchsorted(np.asarray(self._bounds), finite, side="left")
        bins = self._members[labels]
        added = np.bincount(places, minlength=len(bins.counts)).tolist()
        bins.counts = [before + more for before, more in zip(bins.counts, added, strict=True)]
        bins.total += float(finite.sum(dtype=np.float64))

    def collect(self) -> Iterable[Metric]:
        """What Prometheus' client asks of a collector."""
        family = HistogramMetricFamily(self._name, self._about, labels=self._labels)
        ends = [*map(str, self._bounds), "+Inf"]
        for labels, bins in self._members.items():
            family.add_metric(labels, list(zip(ends, accumulate(bins.counts), strict=True)), bins.total)
            named = dict(zip(self._labels, labels, strict=True))
            family.add_sample(f"{self._name}_created", named, bins.born_s)
        return [family]

    def _new(self) -> Bins:
        return Bins([0] * (len(self._bounds) + 1))
