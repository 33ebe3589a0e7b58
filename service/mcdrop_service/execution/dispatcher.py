"""The thread that owns torch, and the way in and out of it.

The event loop submits jobs to the scheduler and waits for futures; the thread takes batches from it and
delivers outcomes. Both hold the scheduler's lock for microseconds: neither waits for the other's work.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Mapping, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

from mcdrop_service.execution.futures import plain, set_exception, set_result, set_results
from mcdrop_service.scheduler import (
    Batch,
    Job,
    Ledger,
    More,
    Outcome,
    QueueLimits,
    Ripe,
    Scheduler,
    Settled,
    Unit,
)

__all__ = ["Dispatcher", "Runner"]

logger = logging.getLogger("mcdrop_service")

PATIENCE_S = 5.0

T = TypeVar("T")
Reply = tuple[Outcome, Any]


class Runner(Protocol):
    """What does the work. Both methods are called in the dispatcher's thread only, and may raise anything."""

    def run_batch(self, key: Hashable, units: Sequence[Unit]) -> Sequence[Any]:
        """The results of the units of a batch, in order."""
        ...

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[Any]:
        """The answers to jobs of one key, or for those that grow what more they want (`More`).

        It may be asked again about the same jobs, and then says the same.
        """
        ...


class Dispatcher:
    """Runs jobs in a thread of its own, in the order that the scheduler decides.

    Args:
        runner: What does the work.
        limits: What may wait at once.
    """

    def __init__(self, runner: Runner, limits: QueueLimits) -> None:
        self._runner = runner
        self._scheduler = Scheduler(limits)
        self._condition = threading.Condition()
        self._calls: deque[Callable[[], None]] = deque()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._answers: dict[int, Any] = {}
        self._stopping = False
        self._called = False
        self._began_s = 0.0
        self._died = False
        # a daemon: a second signal must end the process in the middle of a forward pass
        self._thread = threading.Thread(target=self._work, name="mcdrop-worker", daemon=True)

    @property
    def ledger(self) -> Ledger:
        """The books of the scheduler."""
        return self._scheduler.ledger

    @property
    def waiting_units(self) -> int:
        """Units that were not handed out yet."""
        return self._scheduler.waiting_units

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def died(self) -> bool:
        """Whether the thread ended although nobody had told it to."""
        return self._died

    @property
    def busy_s(self) -> float:
        """How long the step that the thread is at has taken; 0 if it is at none."""
        began_s = self._began_s
        return time.monotonic() - began_s if began_s else 0.0

    def start(self) -> None:
        """Start the thread."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end when nothing waits any more, and wait for it, but not long.

        An interpreter that ends while a thread is inside torch aborts the process.
        """
        with self._condition:
            self._stopping = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the thread; calls and batches take turns, so that neither holds up the other.

        Args:
            function: What to call; not called any more if this is cancelled before its turn.
            *args: Its arguments.

        Returns:
            What it returns; what it raises is raised here.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._condition:
            self._calls.append(partial(self._call, future, partial(function, *args)))
            self._condition.notify()
        return await future

    def later(self, function: Callable[[], None]) -> None:
        """Call a function in the thread as `call` does, and do not wait for it.

        Args:
            function: Must not raise.
        """
        with self._condition:
            self._calls.append(function)
            self._condition.notify()

    async def run(self, job: Job) -> Reply:
        """Run a job. Cancelling this cancels the job, also in the middle of its work.

        Args:
            job: Its deadline is in `time.monotonic` seconds.

        Returns:
            How it ended, and the answer, or what was raised, or None.

        Raises:
            RefusedError: If the scheduler turns it away.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        ticket = self._submit(job, future)
        timer = self._loop.call_later(job.deadline_s - time.monotonic(), self._expire, job.deadline_s)
        try:
            return await future
        except asyncio.CancelledError:
            self._settle({ticket: None}, Outcome.CANCELLED)
            raise
        finally:
            timer.cancel()

    def _submit(self, job: Job, future: asyncio.Future[Reply]) -> int:
        with self._condition:
            try:
                ticket = self._scheduler.submit(job, time.monotonic())
                self._waiting[ticket] = future
                self._condition.notify()
            finally:
                self._deliver()
        return ticket

    def _expire(self, due_s: float) -> None:
        """A deadline has come, whatever the clock says: a timer of uvloop can ring a millisecond early."""
        with self._condition:
            self._scheduler.expire(max(due_s, time.monotonic()))
            self._deliver()

    def _settle(self, answers: Mapping[int, Any], outcome: Outcome) -> None:
        """End jobs, by ticket, each with its answer."""
        with self._condition:
            self._answers.update(answers)
            for ticket in answers:
                self._scheduler.settle(ticket, outcome, time.monotonic())
            self._deliver()
            for ticket in answers:
                self._answers.pop(ticket, None)

    def _deliver(self) -> None:
        """Tell the event loop what ended; the lock is held."""
        ended = self._scheduler.settled()
        replies = [
            (self._waiting.pop(its.ticket), self._reply(its)) for its in ended if its.ticket in self._waiting
        ]
        if replies and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(set_results, replies)

    def _reply(self, settled: Settled) -> Reply:
        return settled.outcome, self._answers.pop(settled.ticket, None)

    def _work(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                self._began_s = time.monotonic()
                step()
                self._began_s = 0.0
        except BaseException:
            logger.critical("the worker died", exc_info=True)
            self._die()

    def _die(self) -> None:
        """Whoever waits is told; nobody would ever answer them."""
        with self._condition:
            self._died = True
            replies = [(future, (Outcome.FAILED, None)) for future in self._waiting.values()]
            self._waiting.clear()
            if not self._loop.is_closed():
                self._loop.call_soon_threadsafe(set_results, replies)

    def _next_step(self) -> Callable[[], None] | None:
        """What to do next; sleeps while there is nothing, without a timer. None to stop."""
        with self._condition:
            while True:
                self._called = bool(self._calls) and not self._called
                if self._called:
                    return self._calls.popleft()
                batch = self._scheduler.next_batch(time.monotonic())
                self._deliver()
                if batch is not None:
                    return partial(self._run, batch)
                if self._stopping and not self._calls:
                    return None
                if not self._calls:
                    self._condition.wait()

    def _run(self, batch: Batch) -> None:
        try:
            results = self._runner.run_batch(batch.key, batch.units)
        except BaseException:  # a model can raise anything, SystemExit too
            logger.exception("a batch failed; its requests are run again apart")
            self._fault(batch)
            return
        if ripe := self._complete(batch, results):
            units, began_s = sum(len(its.results) for its in ripe), time.monotonic()
            self._finish(ripe)
            with self._condition:
                self._scheduler.answers_made(batch.key, units, time.monotonic() - began_s)

    def _fault(self, batch: Batch) -> None:
        with self._condition:
            self._scheduler.fault(batch, time.monotonic())
            self._deliver()

    def _complete(self, batch: Batch, results: Sequence[Any]) -> list[Ripe]:
        with self._condition:
            ripe = self._scheduler.complete(batch, results, time.monotonic())
            self._deliver()
        return ripe

    def _finish(self, ripe: Sequence[Ripe]) -> None:
        """Answer jobs together, or let them grow; if that fails, each apart, so that one harms no other."""
        try:
            answers = dict(zip((its.ticket for its in ripe), self._runner.finish(ripe), strict=True))
        except BaseException as error:
            if len(ripe) > 1:
                for its in ripe:
                    self._finish([its])
                return
            logger.exception("an answer could not be made")
            self._settle({ripe[0].ticket: error}, Outcome.FAILED)
        else:
            done = {ticket: each for ticket, each in answers.items() if not isinstance(each, More)}
            self._settle(done, Outcome.ANSWERED)
            for ticket, more in answers.items():
                if isinstance(more, More):
                    self._grow(ticket, more)

    def _grow(self, ticket: int, more: More) -> None:
        try:
            with self._condition:
                self._scheduler.grow(ticket, more, time.monotonic())
                self._deliver()
        except ValueError as error:
            logger.exception("a model wanted more than a request may take")
            self._settle({ticket: error}, Outcome.FAILED)

    def _call(self, future: asyncio.Future[T], function: Callable[[], T]) -> None:
        if future.cancelled():
            return
        try:
            outcome = partial(set_result, future, function())
        except BaseException as error:  # noqa: BLE001  whoever called gets it; the thread must live
            outcome = partial(set_exception, future, plain(error))
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(outcome)
