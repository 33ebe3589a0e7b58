"""Any order of arrivals, growth, cancellations, faults and time: nobody is lost, doubled or mixed up."""

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mcdrop_service.scheduler import (
    Answers,
    Batch,
    Job,
    More,
    Outcome,
    Pieces,
    QueueLimits,
    RefusedError,
    Scheduler,
)

from tests.service.scheduler.jobs import CAPACITY, job, result

LIMITS = QueueLimits(max_units=40, max_bytes=12)
NEVER = 10_000.0
JOBS = st.builds(
    lambda key, lot, blocks, first_blocks, **rest: job(
        key=(key, lot is None),
        lot=lot,
        blocks=blocks,
        first_blocks=None if first_blocks is None else min(first_blocks, blocks),
        **rest,
    ),
    key=st.sampled_from("ab"),
    lot=st.sampled_from([None, 1, 2]),
    rows=st.integers(1, 5),
    blocks=st.integers(1, 4),
    first_blocks=st.sampled_from([None, 1, 2]),
    payload=st.sampled_from(["plain", "plain", "poison"]),
    size_bytes=st.integers(0, 5),
    pieces=st.sampled_from([0, 0, 1, 3]),
    kind=st.sampled_from([None, "many", "few"]),
)


@dataclass(frozen=True)
class Round:
    """What a job has under way: some blocks of some rows, or pieces as rows of a block behind all."""

    rows: Sequence[int]
    blocks: range
    pieces: bool = False

    @classmethod
    def first(cls, wanted: Job) -> "Round":
        """Of a new job."""
        blocks = wanted.blocks if wanted.first_blocks is None else wanted.first_blocks
        return cls(range(wanted.rows), range(blocks))

    def results(self, ticket: int) -> list[tuple[int, int, int]]:
        """In the order that was promised."""
        return [(ticket, block, row) for block in self.blocks for row in self.rows]

    def reserved(self, wanted: Job) -> int:
        """Units, with those that the job can grow by."""
        if self.pieces:
            return len(self.rows)
        return len(self.rows) * (len(self.blocks) + wanted.blocks - self.blocks.stop)


class Traffic(RuleBasedStateMachine):
    """Several batches can be out at once, which is more than the service does."""

    @initialize()
    def begin(self) -> None:
        self.scheduler = Scheduler(LIMITS)
        self.now_s = 0.0
        self.jobs: dict[int, Job] = {}
        self.ended: dict[int, Outcome] = {}
        self.out: list[Batch] = []
        self.ripe: dict[int, list[object]] = {}
        self.rounds: dict[int, Round] = {}
        self.carried: dict[int, int] = {}

    @rule(wanted=JOBS, patience_s=st.floats(0, 30) | st.just(NEVER))
    def submit(self, wanted: Job, patience_s: float) -> None:
        wanted = replace(wanted, deadline_s=self.now_s + patience_s)
        with contextlib.suppress(RefusedError):
            ticket = self.scheduler.submit(wanted, self.now_s)
            self.jobs[ticket], self.rounds[ticket] = wanted, Round.first(wanted)

    @rule(batches=st.integers(1, 4))
    def work(self, batches: int) -> None:
        for _ in range(batches):
            if (batch := self._next_batch()) is not None:
                self._return(batch)

    @rule()
    def hand_out(self) -> None:
        if (batch := self._next_batch()) is not None:
            self.out.append(batch)

    def _next_batch(self) -> Batch | None:
        batch = self.scheduler.next_batch(self.now_s)
        if batch is None:
            assert self.scheduler.waiting_units == 0
            return None
        assert 1 <= len(batch.units) <= CAPACITY
        jobs = [self.jobs[unit.ticket] for unit in batch.units]
        if isinstance(batch.key, Answers):
            assert [wanted.key for wanted in jobs] == [batch.key.key]
            assert batch.units[0].payload in {"work", "poison"}
            return batch
        assert {wanted.key for wanted in jobs} == {batch.key}
        if jobs[0].lot is not None:
            assert (
                len({(wanted.lot, unit.block) for wanted, unit in zip(jobs, batch.units, strict=True)}) == 1
            )
        return batch

    @precondition(lambda self: self.out)
    @rule(data=st.data(), took_s=st.floats(0, 2))
    def bring_back(self, data: st.DataObject, took_s: float) -> None:
        self.now_s += took_s
        self._return(self.out.pop(data.draw(st.integers(0, len(self.out) - 1))))

    @precondition(lambda self: self.ripe)
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.ANSWERED, Outcome.ANSWERED, Outcome.FAILED]))
    def answer(self, data: st.DataObject, outcome: Outcome) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.ripe)))
        assert self.ripe.pop(ticket) == self.rounds[ticket].results(ticket)
        self.scheduler.settle(ticket, outcome, self.now_s)

    @precondition(lambda self: self.can_grow)
    @rule(data=st.data())
    def grow(self, data: st.DataObject) -> None:
        ticket = data.draw(st.sampled_from(self.can_grow))
        now = self.rounds[ticket]
        assert self.ripe.pop(ticket) == now.results(ticket)
        rows = data.draw(st.lists(st.sampled_from(now.rows), min_size=1, unique=True).map(sorted))
        blocks = data.draw(st.integers(1, self.jobs[ticket].blocks - now.blocks.stop))
        self.rounds[ticket] = Round(rows, range(now.blocks.stop, now.blocks.stop + blocks))
        self.carried[ticket] = blocks
        self.scheduler.grow(ticket, More(tuple(rows), blocks, blocks), self.now_s)

    @precondition(lambda self: self.can_be_made)
    @rule(data=st.data(), count=st.integers(1, 4), work=st.sampled_from(["work", "work", "poison"]))
    def make(self, data: st.DataObject, count: int, work: str) -> None:
        ticket = data.draw(st.sampled_from(self.can_be_made))
        assert self.ripe.pop(ticket) == self.rounds[ticket].results(ticket)
        last = self.jobs[ticket].blocks
        self.rounds[ticket] = Round(range(count), range(last, last + 1), pieces=True)
        self.scheduler.make(ticket, Pieces(count, work), self.now_s)

    @property
    def can_be_made(self) -> list[int]:
        """Tickets of jobs that are ripe and were not made yet."""
        return sorted(ticket for ticket in self.ripe if not self.rounds[ticket].pieces)

    @property
    def can_grow(self) -> list[int]:
        """Tickets of jobs that are ripe and may take more."""
        return sorted(
            ticket
            for ticket in self.ripe
            if self.jobs[ticket].grows and self.rounds[ticket].blocks.stop < self.jobs[ticket].blocks
        )

    @precondition(lambda self: self.jobs)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.scheduler.settle(data.draw(st.sampled_from(sorted(self.jobs))), Outcome.CANCELLED, self.now_s)

    @rule(seconds=st.floats(0, 20))
    def wait(self, seconds: float) -> None:
        self.now_s += seconds
        self.scheduler.expire(self.now_s)

    @invariant()
    def every_job_ends_once_and_the_books_are_right(self) -> None:
        for settled in self.scheduler.settled():
            assert settled.ticket not in self.ended
            self.ended[settled.ticket] = settled.outcome
        ledger = self.scheduler.ledger
        assert ledger.accepted == len(self.jobs)
        assert ledger.ended.total() == len(self.ended)
        assert ledger.live == len(self.jobs) - len(self.ended)

    @invariant()
    def what_waits_is_bounded_and_counted(self) -> None:
        live = {ticket: wanted for ticket, wanted in self.jobs.items() if ticket not in self.ended}
        most = sum(self.rounds[ticket].reserved(wanted) for ticket, wanted in live.items())
        pieces = sum(
            self.rounds[ticket].reserved(live[ticket]) for ticket in live if self.rounds[ticket].pieces
        )
        waiting, reserved = self.scheduler.waiting_units, self.scheduler.reserved_units
        assert 0 <= waiting <= reserved <= min(LIMITS.max_units + pieces, most)
        assert (
            self.scheduler.held_bytes
            == sum(wanted.size_bytes for wanted in live.values())
            <= LIMITS.max_bytes
        )

    def teardown(self) -> None:
        """Without further arrivals everything ends, and only poison fails by itself."""
        if not hasattr(self, "scheduler"):
            return
        for batch in self.out:
            self._return(batch)
        while (waiting := self.scheduler.next_batch(self.now_s)) is not None:
            self._return(waiting)
        for ticket in self.ripe:
            self.scheduler.settle(ticket, Outcome.ANSWERED, self.now_s)
        self.every_job_ends_once_and_the_books_are_right()
        assert set(self.ended) == set(self.jobs)
        scheduler = self.scheduler
        left = (scheduler.waiting_units, scheduler.reserved_units, scheduler.held_bytes, scheduler._pieces)
        assert left == (0, 0, 0, 0)

    def _return(self, batch: Batch) -> None:
        if any(unit.payload == "poison" for unit in batch.units):
            self.scheduler.fault(batch, self.now_s)
            return
        for done in self.scheduler.complete(batch, [result(unit) for unit in batch.units], self.now_s):
            assert done.ticket not in self.ripe
            assert done.carried == self.carried.get(done.ticket)
            self.ripe[done.ticket] = done.results


Traffic.TestCase.settings = settings(max_examples=150, stateful_step_count=50, deadline=None)
TestTraffic = Traffic.TestCase
