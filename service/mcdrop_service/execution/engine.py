"""Answers requests: what is known about each model, and the way from a request to its answer."""

import logging
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from mcdrop_service.errors import (
    BadRequestError,
    DeadlineError,
    ModelFaultError,
    NotFoundError,
    NotReadyError,
    QueueFullError,
    ServiceError,
    shown,
)
from mcdrop_service.execution.dispatcher import Dispatcher
from mcdrop_service.execution.servable import Lane, Servable, Task
from mcdrop_service.facts import ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import Job, Ledger, Outcome, QueueLimits, RefusedError, Unit

__all__ = ["Engine"]

logger = logging.getLogger("mcdrop_service")

BLOCK = 16

# Memory of a unit's results while its request is under way, roughly: 16 samples and the objects around them.
UNIT_BYTES = 2048


class Engine:
    """The models, and the thread that runs them.

    Args:
        models: What to serve, by name.
        limits: What may wait at once.
    """

    def __init__(self, models: Mapping[str, Servable], limits: QueueLimits) -> None:
        self._models = dict(models)
        self._facts: dict[str, ModelFacts] = {}
        self._lanes: dict[Hashable, Lane] = {}
        self._dispatcher = Dispatcher(_Runner(self._models), limits)

    @property
    def names(self) -> tuple[str, ...]:
        """Every model's name, ready or not."""
        return tuple(self._models)

    @property
    def ready(self) -> bool:
        """Whether every model has answered its warm-up, and the worker lives."""
        return len(self._facts) == len(self._models) and self._dispatcher.alive

    @property
    def ledger(self) -> Ledger:
        """How many requests were accepted, and how they ended."""
        return self._dispatcher.ledger

    async def start(self) -> None:
        """Start the thread and warm every model up.

        Raises:
            McdropError: If a model cannot be sampled.
        """
        self._dispatcher.start()
        for name, model in self._models.items():
            self._facts[name] = await self._dispatcher.call(model.warm_up)

    def stop(self) -> None:
        """Let the thread end."""
        self._dispatcher.stop()

    def facts(self, name: str) -> ModelFacts:
        """What is known about a model.

        Args:
            name: Its name in the URL.

        Returns:
            Its facts.

        Raises:
            NotFoundError: If there is no such model.
            NotReadyError: If not every model has answered its warm-up yet.
        """
        if name not in self._models:
            raise NotFoundError(f"unknown model {shown(name)}; this service has {', '.join(self._models)}")
        if not self.ready:
            raise NotReadyError("the models are still starting", retry_after_s=1)
        return self._facts[name]

    async def predict(
        self, facts: ModelFacts, request: PredictionRequest, deadline_s: float
    ) -> PredictionAnswer:
        """The answer to one request.

        Args:
            facts: The model that was asked.
            request: Checked against its facts.
            deadline_s: When the answer is worth nothing any more, in `time.monotonic` seconds.

        Returns:
            The outputs that were asked for.

        Raises:
            QueueFullError: If too much waits already, or it could not be done in time.
            DeadlineError: If it was not done in time.
            ModelFaultError: If the model failed.
            BadRequestError: If the model cannot take inputs of this shape.
        """
        job = await self._job(facts, request, deadline_s)
        try:
            outcome, value = await self._dispatcher.run(job)
        except RefusedError as error:
            raise _queue_full(error) from None
        if outcome is Outcome.ANSWERED:
            answer: PredictionAnswer = value
            return answer
        raise _refusal(outcome, facts)

    async def _job(self, facts: ModelFacts, request: PredictionRequest, deadline_s: float) -> Job:
        signature = tuple((array.dtype.str, array.shape[1:]) for array in request.inputs.values())
        key = (facts.name, signature)
        lane = self._lanes.get(key) or await self._new_lane(key, facts, request)
        return Job(
            key=key,
            rows=request.rows,
            blocks=-(-request.n_samples // BLOCK),
            capacity=lane.capacity,
            size_bytes=_size_bytes(request),
            deadline_s=deadline_s,
            payload=Task(facts, request),
            lot=None if lane.mixes else request.seed,
        )

    async def _new_lane(self, key: Hashable, facts: ModelFacts, request: PredictionRequest) -> Lane:
        """A signature that was not seen yet: the model finds out in the worker thread what it can do."""
        try:
            lane = await self._dispatcher.call(self._models[facts.name].lane, request)
        except Exception as error:
            logger.exception("the model %s cannot take inputs of signature %s", facts.name, key)
            raise BadRequestError(f"the model {facts.name} cannot take inputs of this shape") from error
        self._lanes[key] = lane
        return lane


class _Runner:
    """Hands batches to the model that they belong to."""

    def __init__(self, models: Mapping[str, Servable]) -> None:
        self._models = models

    def run_batch(self, key: Hashable, units: Sequence[Unit]) -> Sequence[Any]:  # noqa: ARG002
        return self._models[units[0].payload.facts.name].run(units)

    def finish(
        self, payloads: Sequence[Task], results: Sequence[Sequence[Any]]
    ) -> Sequence[PredictionAnswer]:
        return self._models[payloads[0].facts.name].finish(payloads, results)


def _size_bytes(request: PredictionRequest) -> int:
    units = request.rows * -(-request.n_samples // BLOCK)
    return sum(array.nbytes for array in request.inputs.values()) + units * UNIT_BYTES


def _queue_full(error: RefusedError) -> QueueFullError:
    wait_s = max(1, math.ceil(error.retry_after_s))
    return QueueFullError(f"too much is queued; ask again in {wait_s} s", retry_after_s=wait_s)


def _refusal(outcome: Outcome, facts: ModelFacts) -> ServiceError:
    if outcome is Outcome.EXPIRED:
        return DeadlineError("the answer was not ready before its deadline")
    return ModelFaultError(f"the model {facts.name} failed on this request")
