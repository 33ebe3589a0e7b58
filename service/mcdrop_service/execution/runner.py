"""What the worker thread does with a batch: hands it to its model, and notes how long that took."""

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from mcdrop_service.execution.servable import Servable, Task
from mcdrop_service.facts import ModelFacts, PredictionAnswer
from mcdrop_service.scheduler import More, Pieces, Ripe, Unit
from mcdrop_service.telemetry import Notes

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

    def run_batch(self, units: Sequence[Unit]) -> Sequence[Any]:
        """The results of the units of a batch, in order."""
        task: Task = units[0].payload
        began_s = time.monotonic()
        for unit in units:
            unit.payload.notes.started_s = unit.payload.notes.started_s or began_s
        try:
            results = list(task.model.run(units))
        except BaseException:
            ids = _ids(units)
            logger.warning("requests in the batch that fails: %s", ", ".join(ids))
            if len({unit.ticket for unit in units}) == 1:
                task.health.failed()
            raise
        if len(results) != len(units):
            raise RuntimeError(f"the model gave {len(results)} results for {len(units)} units")
        self._on_batch(task.facts, len(units), task.lane.capacity, time.monotonic() - began_s)
        return results

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[PredictionAnswer | More | Pieces]:
        """The answers to requests of one signature, what is left to make of them, or what more they want."""
        computed_s = time.monotonic()
        model: Servable = ripe[0].payload.model
        answers = list(model.finish(ripe))
        answered_s = time.monotonic()
        ripe[0].payload.health.answered()
        for index, (its, answer) in enumerate(zip(ripe, answers, strict=True)):
            if isinstance(answer, PredictionAnswer):
                _note(its.payload.notes, answer, computed_s, answered_s)
            elif isinstance(answer, Pieces):
                work = _noted(its.payload.notes, answer, computed_s)
                answers[index] = Pieces(answer.count, work)
        return answers


def _note(notes: Notes, answer: PredictionAnswer, computed_s: float, answered_s: float) -> None:
    notes.computed_s, notes.answered_s, notes.passes = computed_s, answered_s, answer.passes


def _noted(notes: Notes, pieces: Pieces, computed_s: float) -> Iterator[PredictionAnswer | None]:
    """The same pieces; the answer is noted when it is there."""
    for answer in pieces.work:
        if isinstance(answer, PredictionAnswer):
            _note(notes, answer, computed_s, time.monotonic())
        yield answer


def _ids(units: Sequence[Unit]) -> list[str]:
    return sorted({unit.payload.notes.request_id for unit in units})
