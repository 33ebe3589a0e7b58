"""What ended lately, before it is counted.

A lot is counted together, in half the time that it takes one by one, and when its answers are away.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final

from mcdrop_service.facts import ModelFacts
from mcdrop_service.telemetry.ended import EndedBatch, EndedRequest, Model
from mcdrop_service.telemetry.metrics import Gauges, Metrics
from mcdrop_service.telemetry.notes import Notes
from mcdrop_service.telemetry.statistics import Statistics

__all__ = ["Journal"]

LOT: Final = 32
"""Requests that are counted together."""
FEW_NUMBERS: Final = 1024
"""An answer of more is counted at once: its arrays would be held until then."""


class Journal:
    """Notes what ends, and counts it when there is a lot of it, or someone asks.

    Used in the event loop only, but for `batch_ended`.

    Args:
        metrics: For Prometheus.
        statistics: For clients of the Open Inference Protocol.
    """

    def __init__(self, metrics: Metrics, statistics: Statistics) -> None:
        self._metrics, self._statistics = metrics, statistics
        self._requests: list[EndedRequest] = []
        self._batches: deque[EndedBatch] = deque()

    def batch_ended(self, facts: ModelFacts, units: int, capacity: int, seconds: float) -> None:
        """A batch was computed; called from any thread.

        Args:
            facts: Of its model.
            units: That it held; a unit is one row times one block of 16 samples.
            capacity: How many would have fitted.
            seconds: It took.
        """
        self._batches.append(EndedBatch((facts.name, facts.version), units, units / capacity, seconds))

    def request_ended(self, notes: Notes, status: int, seconds: float, *, predicts: bool) -> None:
        """A request ended.

        Args:
            notes: Of it; of one that was given up, the worker may note more yet.
            status: HTTP status; 499 if the client went away.
            seconds: From arrival to the end.
            predicts: Whether a prediction was asked.
        """
        self._requests.append(EndedRequest(notes, status, seconds, predicts))
        if len(self._requests) >= LOT or notes.numbers > FEW_NUMBERS:
            self._count()

    def metrics_text(self, gauges: Gauges) -> bytes:
        """All metrics in Prometheus' text format, whose type is `METRICS_TYPE`.

        Args:
            gauges: The state of the moment.
        """
        self._count()
        return self._metrics.text(gauges)

    def statistics(self, models: Sequence[Model]) -> list[dict[str, object]]:
        """`model_stats` of some models.

        Args:
            models: Name and version of each.
        """
        self._count()
        return self._statistics.documents(models)

    def _count(self) -> None:
        requests, self._requests = self._requests, []
        batches = [self._batches.popleft() for _ in range(len(self._batches))]
        self._metrics.ended(requests, batches)
        self._statistics.ended(requests, batches)
