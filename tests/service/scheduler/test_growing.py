"""Jobs that grow: rounds, the room that they hold, and what is learnt from them."""

from dataclasses import replace

import pytest
from mcdrop_service.scheduler import More, Outcome, QueueLimits, RefusedError, Scheduler

from tests.service.scheduler.jobs import FakeWorker, growing, job


def test_a_job_that_grows_gets_the_blocks_that_its_rows_want(worker: FakeWorker) -> None:
    ticket = worker.submit(growing(3, 6, 2, More((0, 2), 1), More((2,), 3)))
    worker.run()
    units = [(unit.row, unit.block) for batch in worker.batches for unit in batch.units]
    first = [(row, block) for block in range(2) for row in range(3)]
    assert units == [*first, (0, 2), (2, 2), (2, 3), (2, 4), (2, 5)]
    assert worker.answers[ticket] == [(ticket, block, 2) for block in (3, 4, 5)]
    assert worker.outcomes() == {ticket: Outcome.ANSWERED}


def test_jobs_that_grow_share_batches_with_others_and_take_turns(worker: FakeWorker) -> None:
    large = worker.submit(growing(8, 20, 2, *[More(tuple(range(8)), 6)] * 3))
    worker.step()
    small = worker.submit(growing(1, 4, 2, More((0,), 2)))
    worker.run(until=lambda: small in worker.answers)
    assert large not in worker.answers
    assert len(worker.batches) <= 4
    worker.run()
    assert set(worker.answers) == {large, small}


def test_a_job_that_grows_holds_the_room_of_the_most_that_it_can_take_until_its_rows_stop() -> None:
    worker = FakeWorker(Scheduler(QueueLimits(max_units=12, max_bytes=100)))
    worker.submit(growing(2, 6, 2, More((1,), 1)))
    with pytest.raises(RefusedError, match="queue_full"):
        worker.submit(job())
    worker.step()  # 4 units ran, one row stopped: at most 4 blocks of the other are to come
    assert (worker.scheduler.waiting_units, worker.scheduler.reserved_units) == (1, 4)
    worker.submit(job(blocks=8))
    worker.run()
    assert worker.scheduler.reserved_units == 0


@pytest.mark.parametrize("more", [More((0,), 3), More((0,), 0), More((), 1)])
def test_more_than_a_job_may_take_is_refused(worker: FakeWorker, more: More) -> None:
    asked = worker.submit(growing(1, 4, 2, more))
    with pytest.raises(ValueError, match="wanted rows and 1 to 2 blocks"):
        worker.run()
    worker.scheduler.settle(asked, Outcome.FAILED, worker.now_s)
    assert worker.scheduler.reserved_units == 0


def test_a_job_that_ended_while_it_was_ripe_does_not_grow(worker: FakeWorker) -> None:
    ticket = worker.submit(growing(1, 4, 2))
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    worker.scheduler.complete(batch, [None] * 2, 1.0)
    worker.scheduler.settle(ticket, Outcome.CANCELLED, 1.0)
    worker.scheduler.grow(ticket, More((0,), 2), 1.0)
    assert worker.scheduler.next_batch(1.0) is None
    assert worker.scheduler.reserved_units == 0


def test_a_deadline_ends_a_job_between_its_rounds(worker: FakeWorker) -> None:
    wants = replace(growing(1, 64, 2, *[More((0,), 1)] * 62), deadline_s=3.5)
    ticket = worker.submit(wants)
    worker.run()
    assert len(worker.batches) == 4
    assert worker.outcomes() == {ticket: Outcome.EXPIRED}


def test_how_long_a_job_that_grows_will_take_is_learnt_from_those_before(worker: FakeWorker) -> None:
    """Not from the most that it could take: that would turn away what takes a moment."""
    asked = growing(4, 64, 2, More((0, 1, 2, 3), 4))
    worker.submit(asked)
    worker.step()
    assert worker.scheduler.predicted_s(asked) == 3.0  # 2 blocks of 4 rows are 2 batches; one waits
    worker.run()
    assert worker.scheduler.predicted_s(asked) == 6.0
    assert worker.scheduler.predicted_s(growing(4, 5, 2)) == 5.0


def test_rounds_are_learnt_from_in_all_and_from_jobs_that_grew_and_were_answered_only(
    worker: FakeWorker,
) -> None:
    asked = growing(4, 64, 1, More((0, 1, 2, 3), 2), More((0, 1, 2, 3), 4))
    worker.submit(job(blocks=50))
    worker.run()
    cancelled = worker.submit(growing(4, 64, 9))
    worker.step()
    worker.scheduler.settle(cancelled, Outcome.CANCELLED, worker.now_s)
    assert worker.scheduler.predicted_s(asked) == 1.0
    worker.submit(asked)
    worker.run()
    assert worker.scheduler.predicted_s(asked) == 7.0


def test_what_a_job_that_waits_will_grow_by_is_reckoned_with(worker: FakeWorker) -> None:
    worker.submit(growing(4, 64, 2, More((0, 1, 2, 3), 4)))
    worker.run()
    worker.submit(growing(4, 64, 2))
    assert worker.scheduler.predicted_s(job(blocks=40)) == 6.0 + 10.0
