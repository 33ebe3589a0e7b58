"""Any order of arrivals, cancellations, faults and time: nobody is lost, doubled or mixed up."""

import contextlib
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from mcdrop_service.scheduler import Batch, Job, Outcome, QueueLimits, RefusedError, Scheduler

from tests.service.scheduler.jobs import CAPACITY, job, result

LIMITS = QueueLimits(max_units=40, max_bytes=12)
NEVER = 10_000.0
JOBS = st.builds(
    lambda key, lot, **rest: job(key=(key, lot is None), lot=lot, **rest),
    key=st.sampled_from("ab"),
    lot=st.sampled_from([None, 1, 2]),
    rows=st.integers(1, 5),
    blocks=st.integers(1, 4),
    payload=st.sampled_from(["plain", "plain", "poison"]),
    size_bytes=st.integers(0, 5),
)


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

    @rule(wanted=JOBS, patience_s=st.floats(0, 30) | st.just(NEVER))
    def submit(self, wanted: Job, patience_s: float) -> None:
        wanted = replace(wanted, deadline_s=self.now_s + patience_s)
        with contextlib.suppress(RefusedError):
            self.jobs[self.scheduler.submit(wanted, self.now_s)] = wanted

    @rule()
    def hand_out(self) -> None:
        batch = self.scheduler.next_batch(self.now_s)
        if batch is None:
            assert self.scheduler.waiting_units == 0
            return
        assert 1 <= len(batch.units) <= CAPACITY
        jobs = [self.jobs[unit.ticket] for unit in batch.units]
        assert {wanted.key for wanted in jobs} == {batch.key}
        if jobs[0].lot is not None:
            assert (
                len({(wanted.lot, unit.block) for wanted, unit in zip(jobs, batch.units, strict=True)}) == 1
            )
        self.out.append(batch)

    @precondition(lambda self: self.out)
    @rule(data=st.data(), took_s=st.floats(0, 2))
    def bring_back(self, data: st.DataObject, took_s: float) -> None:
        self.now_s += took_s
        self._return(self.out.pop(data.draw(st.integers(0, len(self.out) - 1))))

    @precondition(lambda self: self.ripe)
    @rule(data=st.data(), outcome=st.sampled_from([Outcome.ANSWERED, Outcome.ANSWERED, Outcome.FAILED]))
    def answer(self, data: st.DataObject, outcome: Outcome) -> None:
        ticket = data.draw(st.sampled_from(sorted(self.ripe)))
        results, wanted = self.ripe.pop(ticket), self.jobs[ticket]
        assert results == [(ticket, b, r) for b in range(wanted.blocks) for r in range(wanted.rows)]
        self.scheduler.settle(ticket, outcome, self.now_s)

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
        live = [wanted for ticket, wanted in self.jobs.items() if ticket not in self.ended]
        assert (
            0 <= self.scheduler.waiting_units <= min(LIMITS.max_units, sum(wanted.units for wanted in live))
        )
        assert self.scheduler.held_bytes == sum(wanted.size_bytes for wanted in live) <= LIMITS.max_bytes

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
        assert (self.scheduler.waiting_units, self.scheduler.held_bytes) == (0, 0)

    def _return(self, batch: Batch) -> None:
        if any(unit.payload == "poison" for unit in batch.units):
            self.scheduler.fault(batch, self.now_s)
            return
        for done in self.scheduler.complete(batch, [result(unit) for unit in batch.units], self.now_s):
            assert done.ticket not in self.ripe
            self.ripe[done.ticket] = done.results


Traffic.TestCase.settings = settings(max_examples=150, stateful_step_count=40, deadline=None)
TestTraffic = Traffic.TestCase
