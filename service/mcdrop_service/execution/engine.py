"""Answers requests: what is known about each model, and the way from a request to its answer."""

import gc
import logging
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import Final, TypeVar

from mcdrop_service.errors import (
    BadRequestError,
    NotBitwiseError,
    NotFoundError,
    NotReadyError,
    WorkerDiedError,
    shown,
)
from mcdrop_service.execution.catalogue import Catalogue, Served
from mcdrop_service.execution.cost import kind_of, pieces_of, size_bytes, unit_bytes
from mcdrop_service.execution.dispatcher import Dispatcher
from mcdrop_service.execution.health import AGAIN_S, Health
from mcdrop_service.execution.refusing import before, turned_away, unanswered
from mcdrop_service.execution.runner import OnBatch, Runner
from mcdrop_service.execution.servable import Lane, Servable, Task
from mcdrop_service.facts import ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import Job, Ledger, Outcome, QueueLimits, RefusedError
from mcdrop_service.telemetry import Notes

__all__ = ["Engine"]

logger = logging.getLogger("mcdrop_service")

T = TypeVar("T")

FIRST_BLOCKS: Final = 2
"""Of each row of a request with a tolerance: the library's least number of samples."""


class Engine:
    """The models, and the thread that runs them.

    Args:
        models: What to serve: the versions of each model, by its name.
        limits: What may wait at once.
        on_batch: Told of every batch, in the worker thread.
        bitwise: Whether to refuse a model whose answers have not the same bits alone and in company.
        stall_s: After how long the worker is taken to hang in one step.
    """

    def __init__(
        self,
        models: Mapping[str, Sequence[Servable]],
        limits: QueueLimits,
        on_batch: OnBatch,
        *,
        bitwise: bool = False,
        stall_s: float = 60.0,
    ) -> None:
        self._bitwise = bitwise
        self._stall_s = stall_s
        self._max_bytes = limits.max_bytes
        self._first = dict(models)
        self._catalogue = Catalogue()
        self._started = False
        self._serials = count()
        self._dispatcher = Dispatcher(Runner(on_batch), limits)

    @property
    def names(self) -> tuple[str, ...]:
        """Every model's name, ready or not."""
        return self._catalogue.names if self._started else tuple(self._first)

    @property
    def working(self) -> bool:
        """Whether the worker lives, and does not hang in a step."""
        return self._dispatcher.alive and self._dispatcher.busy_s < self._stall_s

    @property
    def died(self) -> bool:
        """Whether the worker ended by itself; nothing will be answered any more."""
        return self._dispatcher.died

    @property
    def busy_s(self) -> float:
        """How long the worker has been at the step that it is at; 0 if it is at none."""
        return self._dispatcher.busy_s

    @property
    def unfit(self) -> frozenset[tuple[str, str]]:
        """Names and versions of the models that failed too often in a row.

        They are tried again, now and then, when this is asked.
        """
        unfit = [each for each in self._catalogue.all if not each.health.fit]
        for each in unfit:
            self._try_again(each.health)
        return frozenset((each.facts.name, each.facts.version) for each in unfit)

    @property
    def served(self) -> tuple[ModelFacts, ...]:
        """Every version of every model that answers."""
        return tuple(each.facts for each in self._catalogue.all)

    @property
    def ledger(self) -> Ledger:
        """How many requests were accepted, and how they ended."""
        return self._dispatcher.ledger

    @property
    def waiting_units(self) -> int:
        """Units of work that wait."""
        return self._dispatcher.waiting_units

    async def start(self) -> None:
        """Start the thread and warm every model up.

        Raises:
            McdropError: If a model cannot be sampled.
        """
        self._dispatcher.start()
        for name, models in self._first.items():
            await self.exchange(name, models)
        self._started = True
        self._first.clear()
        await self._dispatcher.call(_forget_the_heap)

    def stop(self) -> None:
        """Let the thread end."""
        self._dispatcher.stop()

    async def exchange(self, name: str, models: Sequence[Servable]) -> None:
        """Warm models up, and put them in the place of all versions that were served under a name.

        Until every one of them has answered, and if one cannot, the old ones stay. What they were asked
        before is still answered by them.

        Args:
            name: In the URL.
            models: All versions; none to serve the model no longer.

        Raises:
            McdropError: If one cannot be sampled.
            NotBitwiseError: If one is not bitwise and that was demanded.
        """
        served = [Served(each, await self._dispatcher.call(each.warm_up)) for each in models]
        for each in served:
            self._check_invariance(each.facts)
        self._catalogue.exchange(name, served)
        if self._started:
            await self._dispatcher.call(_forget_the_heap)

    async def in_worker(self, function: Callable[[], T]) -> T:
        """What a function gives that must run where torch runs.

        Args:
            function: Called in the worker thread, between two batches.
        """
        return await self._dispatcher.call(function)

    def versions(self, name: str) -> tuple[str, ...]:
        """The versions of a model, the lowest first.

        Raises:
            NotFoundError: If there is no such model.
            NotReadyError: If not every model has answered its warm-up yet.
        """
        self._check_ready(name)
        return self._catalogue.versions(name)

    def find(self, name: str, version: str | None = None) -> Served:
        """A model that answers.

        Args:
            name: Its name in the URL.
            version: The highest when None.

        Raises:
            NotFoundError: If there is no such model or version.
            NotReadyError: If not every model has answered its warm-up yet.
        """
        self._check_ready(name)
        return self._catalogue.find(name, version)

    def facts(self, name: str, version: str | None = None) -> ModelFacts:
        """What is known about a model; as `find`."""
        return self.find(name, version).facts

    async def predict(
        self, served: Served, request: PredictionRequest, deadline_s: float, notes: Notes
    ) -> PredictionAnswer:
        """The answer to one request.

        Args:
            served: The model that was asked.
            request: Checked against its facts.
            deadline_s: When the answer is worth nothing any more, in `time.monotonic` seconds.
            notes: Where it is written how far the request came.

        Returns:
            The outputs that were asked for.

        Raises:
            QueueFullError: If too much waits already, or it could not be done in time.
            DeadlineError: If it was not done in time.
            ModelFaultError: If the model failed.
            BadRequestError: If the model cannot take inputs of this shape.
            NotReadyError: If the model failed too often in a row.
            TooLargeError: If it would take more memory than there is for all.
        """
        if not served.health.fit:
            self._try_again(served.health)
            raise NotReadyError(
                f"the model {served.facts.name} failed several times in a row, and is tried again soon",
                retry_after_s=math.ceil(AGAIN_S),
            )
        job = await self._job(served, request, deadline_s, notes)
        try:
            outcome, value = await self._dispatcher.run(job)
        except RefusedError as error:
            notes.rejected = error.refusal.value
            raise turned_away(error) from None
        if outcome is Outcome.ANSWERED:
            answer: PredictionAnswer = value
            return answer
        raise unanswered(outcome, served.facts)

    def _try_again(self, health: Health) -> None:
        if health.due():
            self._dispatcher.later(health.try_again)

    def _check_invariance(self, facts: ModelFacts) -> None:
        if self._bitwise and facts.batch_invariance != "bitwise":
            raise NotBitwiseError(
                f"answers of {facts.name} differ in company from those alone, by rounding; bitwise equality "
                "was demanded (batch_invariance = 'bitwise')"
            )

    def _check_ready(self, name: str) -> None:
        if not self._started and name not in self._first:
            raise NotFoundError(
                f"unknown model {shown(name)}; this service has {', '.join(self._first) or 'none'}"
            )
        if not self._started:
            raise NotReadyError("the models are still starting", retry_after_s=1)
        if not self._dispatcher.alive:
            raise NotReadyError("the service is stopping", retry_after_s=1)

    async def _job(self, served: Served, request: PredictionRequest, deadline_s: float, notes: Notes) -> Job:
        signature = tuple([array.shape[1:] for array in request.inputs.values()])
        lane = served.lanes.get(signature)
        if lane is None:
            lane = await before(deadline_s, self._new_lane(signature, served, request))
        blocks, pieces = request.blocks, pieces_of(request, lane)
        return Job(
            key=lane.serial,
            rows=request.rows,
            blocks=blocks,
            capacity=lane.capacity,
            size_bytes=size_bytes(request, blocks * lane.unit_bytes, self._max_bytes),
            deadline_s=deadline_s,
            payload=Task(served.facts, request, served.model, lane, notes, served.health),
            lot=None if lane.mixes else request.seed,
            first_blocks=None if request.tolerance is None else FIRST_BLOCKS,
            pieces=pieces,
            kind=kind_of(request, lane) if pieces else None,
        )

    async def _new_lane(self, signature: Hashable, served: Served, request: PredictionRequest) -> Lane:
        """A signature that was not seen yet: the model finds out in the worker thread what it can do."""
        name = served.facts.name
        try:
            found = await self._dispatcher.call(served.model.lane, request)
        except WorkerDiedError:
            raise
        except Exception as error:
            logger.exception("the model %s cannot take inputs of signature %s", name, signature)
            raise BadRequestError(f"the model {name} cannot take inputs of this shape") from error
        if (known := served.lanes.get(signature)) is not None:  # of another request that came meanwhile
            return known
        lane = replace(found, unit_bytes=unit_bytes(served.facts, request), serial=next(self._serials))
        served.remember(signature, lane)
        if (before := served.before.get(signature)) is not None:
            self._dispatcher.suppose(lane.serial, before)
        return lane


def _forget_the_heap() -> None:
    """Collect garbage once, and let no later collection look at what is left: models, and torch itself.

    A collection of these half a million objects stops every thread for some tenths of a second, and comes in
    the middle of the traffic. What an old model leaves behind is found when the next one takes its place.
    """
    gc.unfreeze()
    gc.collect()
    gc.freeze()
