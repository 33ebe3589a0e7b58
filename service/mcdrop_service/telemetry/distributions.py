"""Histograms of the uncertainties that were answered: a shift in them is the first sign of other data."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from prometheus_client import CollectorRegistry

from mcdrop_service.facts import Array
from mcdrop_service.telemetry.ended import Model
from mcdrop_service.telemetry.families import Histograms

__all__ = ["Distributions"]

NATS: Final = (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1, 1.5, 2, 3, 5)
UNITS: Final = (0.0001, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000)
KINDS: Final[Mapping[str, tuple[str, str, tuple[float, ...]]]] = {
    "predictive_entropy": ("predictive_entropy", "Total uncertainty of a row, in nats", NATS),
    "mutual_information": ("mutual_information", "Epistemic uncertainty of a row, in nats", NATS),
    "std": ("predictive_std", "Standard deviation of each number, in units of the output", UNITS),
}


class Distributions:
    """By kind of uncertainty, model and version.

    Args:
        registry: Is told of them.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._kinds = {
            name: Histograms(f"mcdrop_{title}", about, ("model", "version"), bounds)
            for name, (title, about, bounds) in KINDS.items()
        }
        for histograms in self._kinds.values():
            registry.register(histograms)

    def take(self, model: Model, answers: Sequence[Mapping[str, Array]]) -> None:
        """Count the uncertainties of some answers.

        Args:
            model: Name and version.
            answers: By name; what is no uncertainty is passed over.
        """
        for name, histograms in self._kinds.items():
            found = [outputs[name].ravel() for outputs in answers if name in outputs]
            if found:
                histograms.take_finite(model, np.concatenate(found))
