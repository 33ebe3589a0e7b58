"""The thread that owns torch, and the way in and out of it.

The event loop submits jobs to the scheduler and waits for futures; the thread takes batches from it and
delivers outcomes. Both hold the scheduler's lock for microseconds: neither waits for the other's work.
"""

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable, Sequence
from functools import partial
from queue import SimpleQueue
from typing import Any, Protocol, TypeVar

from mcdrop_service.errors import WorkerDiedError
from mcdrop_service.execution.alarm import Alarm
from mcdrop_service.execution.futures import plain, set_exception, set_result, set_results
from mcdrop_service.execution.post import Post
from mcdrop_service.scheduler import (
    Answers,
    Batch,
    Job,
    Ledger,
    More,
    Outcome,
    Pieces,
    QueueLimits,
    Ripe,
    Scheduler,
    Unit,
)

__all__ = ["Dispatcher", "Runner"]

logger = logging.getLogger("mcdrop_service")

PATIENCE_S = 5.0
UNANSWERED = (More, Pieces)

T = TypeVar("T")
Reply = tuple[Outcome, Any]
Tell = Callable[[Callable[[], None]], None]


class Runner(Protocol):
    """What does the work. Both methods are called in the dispatcher's thread only, and may raise anything."""

    def run_batch(self, units: Sequence[Unit]) -> Sequence[Any]:
        """The results of the units of a batch, all of one key, in order."""
        ...

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[Any]:
        """The answers to jobs of one key, or what more they want (`More`), or how they are made (`Pieces`).

        The work of pieces is an iterator that gives something for each of them, and the answer for the last.
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
        self._lock = threading.RLock()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._calls: deque[Callable[[], None]] = deque()
        self._callers: set[asyncio.Future[Any]] = set()
        self._waiting: dict[int, asyncio.Future[Reply]] = {}
        self._alarm = Alarm(self._expire)
        self._stopping = False
        self._asleep = False
        self._called = False
        self._began_s = 0.0
        self._alive = False
        self._died = False
        self._post: Post
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
        return self._alive

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
        self._post = Post(self._loop)
        self._alive = True
        self._thread.start()

    def stop(self) -> None:
        """Let the thread end when nothing waits any more, and wait for it, but not long.

        An interpreter that ends while a thread is inside torch aborts the process.
        """
        with self._lock:
            self._stopping = True
        self._bell.put(None)
        if self._thread.is_alive():
            self._thread.join(PATIENCE_S)
            if not self._thread.is_alive():
                self._post.close()

    async def call(self, function: Callable[..., T], *args: Any) -> T:
        """Call a function in the thread; calls and batches take turns, so that neither holds up the other.

        Args:
            function: What to call; not called any more if this is cancelled before its turn.
            *args: Its arguments.

        Returns:
            What it returns; what it raises is raised here.

        Raises:
            WorkerDiedError: If the thread died before.
        """
        future: asyncio.Future[T] = self._loop.create_future()
        with self._lock:
            if self._died:
                raise WorkerDiedError
            self._calls.append(partial(self._call, future, partial(function, *args)))
        self._bell.put(None)
        self._callers.add(future)
        try:
            return await future
        finally:
            self._callers.discard(future)

    def later(self, function: Callable[[], None]) -> None:
        """Call a function in the thread as `call` does, and do not wait for it.

        Args:
            function: Must not raise.
        """
        with self._lock:
            self._calls.append(function)
        self._bell.put(None)

    def suppose(self, key: Hashable, like: Hashable) -> None:
        """Expect of the jobs of a new key what is known of those of another, until they are measured.

        Args:
            key: Of which nothing was run yet.
            like: Known, or not.
        """
        with self._lock:
            self._scheduler.suppose(key, like)

    async def run(self, job: Job) -> Reply:
        """Run a job. Cancelling this cancels the job, also in the middle of its work.

        Args:
            job: Its deadline is in `time.monotonic` seconds.

        Returns:
            How it ended, and the answer, or what was raised, or None.

        Raises:
            RefusedError: If the scheduler turns it away.
            WorkerDiedError: If the thread has died.
        """
        future: asyncio.Future[Reply] = self._loop.create_future()
        ticket = self._submit(job, future)
        self._alarm.set(job.deadline_s)
        try:
            return await future
        except asyncio.CancelledError:
            self._settle(ticket, Outcome.CANCELLED)
            raise

    def _submit(self, job: Job, future: asyncio.Future[Reply]) -> int:
        with self._lock:
            if self._died:
                raise WorkerDiedError
            try:
                ticket = self._scheduler.submit(job, time.monotonic())
                self._waiting[ticket] = future
                if self._asleep:
                    self._asleep = False
                    self._loop.call_soon(self._wake)
            finally:
                self._deliver()
        return ticket

    def _wake(self) -> None:
        """Once for all jobs that come together: woken by the first, the thread would run it alone."""
        self._bell.put(None)

    def _expire(self, due_s: float) -> float:
        """A deadline has come, whatever the clock says: a timer of uvloop can ring a millisecond early."""
        with self._lock:
            self._scheduler.expire(max(due_s, time.monotonic()))
            self._deliver()
            return self._scheduler.first_deadline_s

    def _settle(self, ticket: int, outcome: Outcome, answer: Any = None) -> None:
        with self._lock:
            self._scheduler.settle(ticket, outcome, time.monotonic(), answer)
            self._deliver()

    def _deliver(self, tell: Tell | None = None) -> None:
        """Tell the event loop what ended."""
        with self._lock:
            if not (settled := self._scheduler.settled()):
                return
            replies = [
                (self._waiting.pop(its.ticket), (its.outcome, its.answer))
                for its in settled
                if its.ticket in self._waiting
            ]
        if replies:
            (tell or self._tell)(partial(set_results, replies))

    def _tell(self, call: Callable[[], None]) -> None:
        """Make a call in the event loop, and go on."""
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(call)

    def _work(self) -> None:
        try:
            while (step := self._next_step()) is not None:
                self._began_s = time.monotonic()
                step()
                del step  # nothing of it is held while the thread sleeps: results can be large
                self._began_s = 0.0
        except BaseException:
            logger.critical("the worker died", exc_info=True)
            with self._lock:
                self._died = True
            self._tell(self._fail_all)
        finally:
            self._alive = False

    def _fail_all(self) -> None:
        """Whoever waits is told; nobody would ever answer them. In the event loop."""
        for caller in self._callers:
            set_exception(caller, WorkerDiedError())
        set_results([(future, (Outcome.FAILED, None)) for future in self._waiting.values()])
        self._waiting.clear()

    def _next_step(self) -> Callable[[], None] | None:
        """What to do next; sleeps while there is nothing, without a timer. None to stop."""
        while True:
            with self._lock:
                step, stopping = self._chosen(), self._stopping
                idle = step is None and not self._calls
                self._asleep = idle and not stopping
            # who is about to sleep hands the interpreter over; who goes on needs it
            self._deliver(self._post.send if idle else self._tell)
            if step is not None or (idle and stopping):
                return step
            if idle:
                self._bell.get()

    def _chosen(self) -> Callable[[], None] | None:
        self._called = bool(self._calls) and not self._called
        if self._called:
            return self._calls.popleft()
        batch = self._scheduler.next_batch(time.monotonic())
        if batch is None:
            return None
        return partial(self._make_piece if isinstance(batch.key, Answers) else self._run, batch)

    def _run(self, batch: Batch) -> None:
        try:
            results = self._runner.run_batch(batch.units)
        except BaseException:  # a model can raise anything, SystemExit too
            logger.exception("a batch failed; its requests are run again apart")
            with self._lock:
                self._scheduler.fault(batch, time.monotonic())
                self._deliver()
            return
        with self._lock:
            ripe = self._scheduler.complete(batch, results, time.monotonic())
            self._deliver()
        if ripe:
            self._finish(batch.key, ripe)

    def _finish(self, key: Hashable, ripe: Sequence[Ripe]) -> None:
        """Answer jobs together, or let them grow; if that fails, each apart, so that one harms no other."""
        began_s = time.monotonic()
        try:
            answers = list(zip(ripe, self._runner.finish(ripe), strict=True))
        except BaseException as error:
            if len(ripe) > 1:
                for its in ripe:
                    self._finish(key, [its])
                return
            logger.exception("an answer could not be made")
            self._settle(ripe[0].ticket, Outcome.FAILED, error)
        else:
            self._answered(key, answers, began_s)

    def _answered(self, key: Hashable, answers: Sequence[tuple[Ripe, Any]], began_s: float) -> None:
        """Settle what was answered; it is told with the next step."""
        now_s = time.monotonic()
        units = sum([len(its.results) for its, answer in answers if not isinstance(answer, Pieces)])
        with self._lock:
            if units:
                self._scheduler.answers_made(key, units, now_s - began_s)
            for its, answer in answers:
                if not isinstance(answer, UNANSWERED):
                    self._scheduler.settle(its.ticket, Outcome.ANSWERED, now_s, answer)
        for its, answer in answers:
            if isinstance(answer, UNANSWERED):
                self._go_on(its.ticket, answer)

    def _go_on(self, ticket: int, wanted: More | Pieces) -> None:
        try:
            with self._lock:
                if isinstance(wanted, Pieces):
                    self._scheduler.make(ticket, wanted, time.monotonic())
                else:
                    self._scheduler.grow(ticket, wanted, time.monotonic())
                self._deliver()
        except ValueError as error:
            logger.exception("a model wanted more than a request may take")
            self._settle(ticket, Outcome.FAILED, error)

    def _make_piece(self, batch: Batch) -> None:
        """The next piece of an answer; with the last one it is settled, and told with the next step."""
        (piece,) = batch.units
        try:
            made = next(piece.payload)
        except BaseException:
            logger.exception("an answer could not be made")
            with self._lock:
                self._scheduler.fault(batch, time.monotonic())
            return
        with self._lock:
            if self._scheduler.complete(batch, [made], time.monotonic()):
                self._scheduler.settle(piece.ticket, Outcome.ANSWERED, time.monotonic(), made)

    def _call(self, future: asyncio.Future[T], function: Callable[[], T]) -> None:
        if future.cancelled():
            return
        try:
            outcome = partial(set_result, future, function())
        except BaseException as error:  # noqa: BLE001  whoever called gets it; the thread must live
            outcome = partial(set_exception, future, plain(error))
        self._tell(outcome)
