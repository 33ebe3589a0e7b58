"""What the worker thread does with a batch: hands it to its model, and notes how long that took."""

import logging
import time
from collections.abc import Callable, Hashable, Sequence
from typing import Any

from mcdrop_service.execution.servable import Task
from mcdrop_service.facts import ModelFacts, PredictionAnswer
from mcdrop_service.scheduler import Unit

__all__ = ["OnBatch", "Runner"]

logger = logging.getLogger("mcdrop_service")

OnBatch = Callable[[ModelFacts, int, int, float], None]
"""Is told of every batch: the model, its units, how many would have fitted, and its seconds."""


class Runner:
    """Hands batches to the model that they belong to.

    Args:
        on_batch: Called in the worker thread.
    """

    def __init__(self, on_batch: OnBatch) -> None:
        self._on_batch = on_batch

    def run_batch(self, key: Hashable, units: Sequence[Unit]) -> Sequence[Any]:  # noqa: ARG002
        """The results of the units of a batch, in order."""
        task: Task = units[0].payload
        began_s = time.monotonic()
        for unit in units:
            unit.payload.notes.started_s = unit.payload.notes.started_s or began_s
        try:
            results = task.model.run(units)
        except Exception:
            logger.warning("requests in the batch that fails: %s", ", ".join(_ids(units)))
            raise
        self._on_batch(task.facts, len(units), task.lane.capacity, time.monotonic() - began_s)
        return results

    def finish(
        self, payloads: Sequence[Task], results: Sequence[Sequence[Any]]
    ) -> Sequence[PredictionAnswer]:
        """The answers to requests of one signature, each from the results of all its units."""
        computed_s = time.monotonic()
        answers = payloads[0].model.finish(payloads, results)
        answered_s = time.monotonic()
        for task in payloads:
            task.notes.computed_s, task.notes.answered_s = computed_s, answered_s
        return answers


def _ids(units: Sequence[Unit]) -> list[str]:
    return sorted({unit.payload.notes.request_id for unit in units})
