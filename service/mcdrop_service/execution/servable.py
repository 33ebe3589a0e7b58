"""The seam between the service and what it serves."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mcdrop_service.execution.health import Health
from mcdrop_service.facts import ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import More, Pieces, Ripe, Unit
from mcdrop_service.telemetry import Notes

__all__ = ["Lane", "Servable", "Task"]


@dataclass(frozen=True)
class Lane:
    """How requests of one model and one input signature share batches.

    Attributes:
        capacity: Units that fit a batch.
        tile: Rows of which a piece of an answer is made.
        mixes: Whether units of different seeds and blocks may share one.
        apart: Whether every answer is made in pieces, whatever it is asked.
        unit_bytes: Memory of a unit's results; written by the engine, which knows the outputs.
        serial: Of this one alone, by which the scheduler knows it; written by the engine.
    """

    capacity: int
    tile: int
    mixes: bool
    apart: bool = False
    unit_bytes: int = 0
    serial: int = 0


@dataclass
class Task:
    """A request on its way through the worker.

    Attributes:
        facts: The model that was asked.
        request: What was asked.
        model: Answers it, even if another one has taken its place since.
        lane: How the request shares batches.
        notes: Where the worker writes when it began and ended.
        health: Of the model.
        prepared: What the model made of it, once; touched in the worker thread only.
    """

    facts: ModelFacts
    request: PredictionRequest
    model: "Servable"
    lane: Lane
    notes: Notes
    health: Health
    prepared: Any = None


class Servable(Protocol):
    """A loaded model. Every method is called in the worker thread only."""

    def warm_up(self) -> ModelFacts:
        """Answer once, so that the first request finds everything made; tell what can be asked."""
        ...

    def probe(self) -> object:
        """Answer zeros once more; raises if it cannot."""
        ...

    def lane(self, request: PredictionRequest) -> Lane:
        """How requests with this input signature share batches."""
        ...

    def run(self, units: Sequence[Unit]) -> Sequence[Any]:
        """The results of some units whose payloads are tasks of one signature, in order."""
        ...

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[PredictionAnswer | More | Pieces]:
        """The answers to requests of one signature whose payloads are tasks, from the results of their units.

        A request with a tolerance may ask for more units first. Nothing is remembered of the call: what is to
        be known when they are done is carried by what it asks for. An answer that can take long is made in
        pieces: the iterator gives something for each, and the answer for the last.
        """
        ...
