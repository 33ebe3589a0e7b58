"""What is accepted under overload is done in time: an open loop against a worker on a clock of its own."""

from collections import deque

import pytest
from mcdrop_service.scheduler import Job, Outcome, QueueLimits, RefusedError, Scheduler

CAPACITY, BATCH_S, DEADLINE_S = 16, 0.01, 1.0


class Overload:
    """Jobs that are due at fixed times, whatever becomes of them."""

    def __init__(self, sizes: list[int], *, times: float, answer_s: float) -> None:
        self.scheduler = Scheduler(QueueLimits(10**6, 10**9))
        self.now_s = 0.0
        self.answered_s = 0.0
        self._answer_s = answer_s
        self._due: deque[tuple[float, int]] = deque()
        due_s = 0.0
        for units in sizes:
            self._due.append((due_s, units))
            due_s += self._cost_s(units) / times

    def run(self) -> None:
        """Until nothing is due and nothing waits."""
        while self._due or self.scheduler.ledger.live:
            self._spend(0.0)
            batch = self.scheduler.next_batch(self.now_s)
            if batch is None:
                self._spend(self._due[0][0] - self.now_s if self._due else 0.0)
                continue
            self._spend(BATCH_S)
            for ripe in self.scheduler.complete(batch, [None] * len(batch.units), self.now_s):
                units = len(ripe.results)
                self._spend(self._answer_s * units)
                self.scheduler.answers_made(batch.key, units, self._answer_s * units)
                self.scheduler.settle(ripe.ticket, Outcome.ANSWERED, self.now_s)
                self.answered_s += self._cost_s(units)

    def _cost_s(self, units: int) -> float:
        return units / CAPACITY * BATCH_S + units * self._answer_s

    def _spend(self, seconds: float) -> None:
        """Time passes, and jobs come."""
        self.now_s += seconds
        while self._due and self._due[0][0] <= self.now_s:
            due_s, units = self._due.popleft()
            job = Job("model", 1, units, CAPACITY, 1, due_s + DEADLINE_S, None)
            try:
                self.scheduler.submit(job, due_s)
            except RefusedError:
                continue


@pytest.mark.parametrize("answer_s", [0.0, BATCH_S / CAPACITY])
def test_at_three_times_the_capacity_nearly_all_time_goes_into_answers(answer_s: float) -> None:
    overload = Overload([120] * 400, times=3.0, answer_s=answer_s)
    overload.run()
    assert overload.answered_s > 0.9 * overload.now_s
    assert overload.scheduler.ledger.ended[Outcome.EXPIRED] <= 0.02 * overload.scheduler.ledger.accepted
    assert overload.scheduler.ledger.refused["deadline"] > 200


def test_small_jobs_between_large_ones_are_all_answered() -> None:
    overload = Overload([250, 2] * 200, times=3.0, answer_s=0.0)
    overload.run()
    ledger = overload.scheduler.ledger
    assert overload.answered_s > 0.9 * overload.now_s
    assert ledger.ended[Outcome.ANSWERED] > 200
    assert ledger.ended[Outcome.EXPIRED] <= 0.02 * ledger.accepted


def test_below_the_capacity_nobody_is_turned_away() -> None:
    overload = Overload([40] * 300, times=0.9, answer_s=BATCH_S / CAPACITY)
    overload.run()
    assert overload.scheduler.ledger.ended[Outcome.ANSWERED] == 300
