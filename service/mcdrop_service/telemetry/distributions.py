"""Histograms of the uncertainties that were answered: a shift in them is the first sign of other data."""

import math
import threading
from bisect import bisect_left
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

import numpy as np
from prometheus_client.core import HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from mcdrop_service.facts import Array

__all__ = ["Distributions"]

NATS: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5)
UNITS: Final = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
KINDS: Final[Mapping[str, tuple[str, str, tuple[float, ...]]]] = {
    "predictive_entropy": ("predictive_entropy", "Total uncertainty of a row, in nats", NATS),
    "mutual_information": ("mutual_information", "Epistemic uncertainty of a row, in nats", NATS),
    "std": ("predictive_std", "Standard deviation of each number, in units of the output", UNITS),
}
FEW: Final = 64
"""Up to this many numbers plain Python is faster than NumPy."""


@dataclass(slots=True)
class Bins:
    """Counts between the bounds, and the sum of all values."""

    counts: list[int]
    total: float = 0.0

    def take(self, values: Array, bounds: tuple[float, ...]) -> None:
        """Count some values; one that is not finite would spoil the sum for ever, and is passed over."""
        flat = values.ravel()
        if flat.size > FEW:
            flat = flat[np.isfinite(flat)]
            places = np.searchsorted(np.asarray(bounds), flat, side="left")
            added = np.bincount(places, minlength=len(self.counts)).tolist()
            self.counts = [before + more for before, more in zip(self.counts, added, strict=True)]
            self.total += float(flat.sum(dtype=np.float64))
            return
        for value in filter(math.isfinite, flat.tolist()):
            self.counts[bisect_left(bounds, value)] += 1
            self.total += value


class Distributions(Collector):
    """Counts by model, version and kind of uncertainty; safe to share between threads."""

    def __init__(self) -> None:
        self._bins: dict[tuple[str, str, str], Bins] = {}
        self._lock = threading.Lock()

    def take(self, model: str, version: str, outputs: Mapping[str, Array]) -> None:
        """Count the uncertainties of one answer.

        Args:
            model: Name.
            version: Of it.
            outputs: Those of its outputs that are no uncertainty are passed over.
        """
        with self._lock:
            for name, (_, _, bounds) in KINDS.items():
                if name in outputs:
                    bins = self._bins.setdefault((name, model, version), Bins([0] * (len(bounds) + 1)))
                    bins.take(outputs[name], bounds)

    def collect(self) -> Iterable[Metric]:
        """What Prometheus' client asks of a collector."""
        with self._lock:
            families = {
                name: HistogramMetricFamily(f"mcdrop_{title}", about, labels=("model", "version"))
                for name, (title, about, _) in KINDS.items()
            }
            for (name, model, version), bins in self._bins.items():
                bounds = [*map(str, map(float, KINDS[name][2])), "+Inf"]
                buckets = list(zip(bounds, accumulate(bins.counts), strict=True))
                families[name].add_metric((model, version), buckets, bins.total)
        return families.values()
