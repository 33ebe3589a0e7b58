"""Jobs for the tests of the scheduler, and a worker that runs them."""

from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from typing import Any

from mcdrop_service.scheduler import (
    Answers,
    Batch,
    Job,
    More,
    Outcome,
    Pieces,
    QueueLimits,
    RefusedError,
    Ripe,
    Scheduler,
    Unit,
)

__all__ = ["CAPACITY", "WIDE", "FakeWorker", "growing", "in_pieces", "job", "result"]

CAPACITY = 4
WIDE = QueueLimits(max_units=1_000_000, max_bytes=1_000_000)


def job(
    rows: int = 1,
    blocks: int = 1,
    *,
    key: Hashable = "model",
    deadline_s: float = 1000.0,
    size_bytes: int = 1,
    payload: Any = "plain",
    lot: Hashable | None = None,
    first_blocks: int | None = None,
    pieces: int = 0,
    kind: Hashable = None,
) -> Job:
    """A job that is small in everything that is not said."""
    return Job(key, rows, blocks, CAPACITY, size_bytes, deadline_s, payload, lot, first_blocks, pieces, kind)


def growing(rows: int, blocks: int, first_blocks: int, *wants: More, key: Hashable = "model") -> Job:
    """A job that takes at most so many blocks for each row, and wants these after its first."""
    return job(rows, blocks, key=key, payload=wants, first_blocks=first_blocks)


def in_pieces(
    pieces: int, rows: int = 1, blocks: int = 1, *, deadline_s: float = 1000.0, kind: Hashable = None
) -> Job:
    """A job whose answer is made in so many pieces."""
    work = Pieces(pieces, "work")
    return job(rows, blocks, deadline_s=deadline_s, payload=work, size_bytes=0, pieces=pieces, kind=kind)


@dataclass
class FakeWorker:
    """Runs batches on a clock of its own; a payload of `poison` makes a batch fail.

    A job that grows has as payload what it wants, one `More` for each round after the first; one whose answer
    is made in pieces has these.

    Attributes:
        scheduler: What it works for.
        batch_s: How long a batch takes.
        now_s: The time.
        batches: What was run.
        answers: Results by ticket of what was answered; of a job that grows those of its last round.
        answer_s: How long it takes to make an answer of the result of one unit.
        piece_s: How long a piece of an answer takes.
        offers: Jobs that will be offered while it works, each with its time, in order.
        refused: Those of them that were turned away.
    """

    scheduler: Scheduler
    batch_s: float = 1.0
    now_s: float = 0.0
    batches: list[Batch] = field(default_factory=list)
    answers: dict[int, list[Any]] = field(default_factory=dict)
    answer_s: float = 0.0
    piece_s: float = 1.0
    offers: deque[tuple[float, Job]] = field(default_factory=deque)
    refused: list[Job] = field(default_factory=list)

    def submit(self, wanted: Job) -> int:
        """Its ticket."""
        return self.scheduler.submit(wanted, self.now_s)

    def spend(self, seconds: float) -> None:
        """Let time pass, and offer what comes meanwhile."""
        self.now_s += seconds
        while self.offers and self.offers[0][0] <= self.now_s:
            at_s, offered = self.offers.popleft()
            try:
                self.scheduler.submit(offered, at_s)
            except RefusedError:
                self.refused.append(offered)

    def serve(self) -> None:
        """Work until all was offered and nothing waits."""
        while self.step() or self.offers:
            if self.scheduler.waiting_units == 0 and self.offers:
                self.spend(max(self.offers[0][0] - self.now_s, 0.0))

    def step(self) -> bool:
        """Run one batch; False if there is none."""
        batch = self.scheduler.next_batch(self.now_s)
        if batch is None:
            return False
        self.batches.append(batch)
        if isinstance(batch.key, Answers):
            self._make(batch)
            return True
        self.spend(self.batch_s)
        if any(unit.payload == "poison" for unit in batch.units):
            self.scheduler.fault(batch, self.now_s)
        else:
            self.answer(self.scheduler.complete(batch, [result(unit) for unit in batch.units], self.now_s))
        return True

    def _make(self, batch: Batch) -> None:
        self.spend(self.piece_s)
        for done in self.scheduler.complete(batch, [result(batch.units[0])], self.now_s):
            self._answered(done)

    def answer(self, ripe: list[Ripe]) -> None:
        """Answer what is ripe, let it grow, or begin to make its answer."""
        for done in ripe:
            if not isinstance(done.payload, Pieces):
                self.spend(self.answer_s * len(done.results))
                key = self.batches[-1].key
                self.scheduler.answers_made(key, len(done.results), self.answer_s * len(done.results))
        for done in ripe:
            rounds = done.carried or 0
            if isinstance(done.payload, Pieces):
                self.scheduler.make(done.ticket, done.payload, self.now_s)
            elif isinstance(done.payload, tuple) and rounds < len(done.payload):
                wanted = replace(done.payload[rounds], carried=rounds + 1)
                self.scheduler.grow(done.ticket, wanted, self.now_s)
            else:
                self._answered(done)

    def _answered(self, done: Ripe) -> None:
        self.scheduler.settle(done.ticket, Outcome.ANSWERED, self.now_s)
        self.answers[done.ticket] = done.results

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Run batches until there are none, or something holds."""
        while not until() and self.step():
            pass

    def outcomes(self) -> dict[int, Outcome]:
        """How jobs ended since this was last asked."""
        return {settled.ticket: settled.outcome for settled in self.scheduler.settled()}


def result(unit: Unit) -> tuple[int, int, int]:
    """What the fake worker makes of a unit."""
    return (unit.ticket, unit.block, unit.row)
