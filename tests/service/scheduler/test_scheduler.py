"""The scheduler, one property at a time, with a fake worker and a fake clock."""

from dataclasses import replace

import pytest
from mcdrop_service.scheduler import More, Outcome, QueueLimits, Refusal, RefusedError, Scheduler

from tests.service.scheduler.jobs import CAPACITY, WIDE, FakeWorker, growing, job


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker(Scheduler(WIDE))


def test_nothing_to_do_is_no_batch(worker: FakeWorker) -> None:
    assert worker.scheduler.next_batch(0.0) is None


def test_a_job_is_answered_with_its_results_block_by_block(worker: FakeWorker) -> None:
    ticket = worker.submit(job(rows=3, blocks=2))
    worker.run()
    assert worker.answers[ticket] == [(ticket, block, row) for block in range(2) for row in range(3)]
    assert worker.outcomes() == {ticket: Outcome.ANSWERED}


def test_small_jobs_share_a_batch(worker: FakeWorker) -> None:
    tickets = [worker.submit(job()) for _ in range(CAPACITY)]
    worker.run()
    assert len(worker.batches) == 1
    assert list(worker.answers) == tickets


def test_a_lone_job_runs_at_once_in_a_batch_that_is_not_full(worker: FakeWorker) -> None:
    worker.submit(job())
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    assert len(batch.units) == 1


def test_a_large_job_cannot_hold_up_a_small_one(worker: FakeWorker) -> None:
    worker.submit(job(rows=16, blocks=63))
    worker.step()
    small = worker.submit(job())
    worker.run(until=lambda: small in worker.answers)
    assert len(worker.batches) == 2


def test_jobs_of_equal_size_are_done_one_after_the_other(worker: FakeWorker) -> None:
    tickets = [worker.submit(job(blocks=20)) for _ in range(5)]
    worker.run(until=lambda: bool(worker.answers))
    assert len(worker.batches) == 5
    worker.run()
    assert list(worker.answers) == tickets


def test_keys_never_share_a_batch(worker: FakeWorker) -> None:
    for key in ("a", "b", "a", "b"):
        worker.submit(job(key=key))
    worker.run()
    assert [batch.key for batch in worker.batches] == ["a", "b"]


def test_a_slow_model_cannot_hold_up_a_fast_one(worker: FakeWorker) -> None:
    """Each gets half of the time, not half of the batches."""
    worker.submit(job(blocks=2000, key="slow"))
    worker.submit(job(blocks=2000, key="fast"))
    spent = {"slow": 0.0, "fast": 0.0}
    for _ in range(300):
        batch = worker.scheduler.next_batch(worker.now_s)
        assert batch is not None
        worker.now_s += 0.05 if batch.key == "slow" else 0.002
        spent[str(batch.key)] += worker.now_s - batch.started_s
        worker.scheduler.complete(batch, [None] * len(batch.units), worker.now_s)
    assert spent["fast"] == pytest.approx(spent["slow"], rel=0.2)


def test_jobs_that_must_not_mix_run_by_lot_and_block(worker: FakeWorker) -> None:
    for seed in (1, 2, 1, 2, 1):
        worker.submit(job(blocks=3, lot=seed, payload=seed))
    worker.run()
    assert all(len({(unit.payload, unit.block) for unit in batch.units}) == 1 for batch in worker.batches)
    assert len(worker.answers) == 5


def test_jobs_of_one_lot_share_their_blocks(worker: FakeWorker) -> None:
    for _ in range(CAPACITY):
        worker.submit(job(blocks=2, lot=7))
    worker.run()
    assert [len(batch.units) for batch in worker.batches] == [CAPACITY, CAPACITY]


def test_a_cancelled_job_frees_its_place_and_hurts_nobody(worker: FakeWorker) -> None:
    tickets = [worker.submit(job(blocks=3)) for _ in range(4)]
    worker.step()
    worker.scheduler.settle(tickets[1], Outcome.CANCELLED, worker.now_s)
    worker.run()
    assert set(worker.answers) == set(tickets) - {tickets[1]}
    assert worker.outcomes()[tickets[1]] is Outcome.CANCELLED


def test_a_job_cancelled_while_it_runs_is_not_answered(worker: FakeWorker) -> None:
    ticket = worker.submit(job())
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    worker.scheduler.settle(ticket, Outcome.CANCELLED, 0.5)
    assert worker.scheduler.complete(batch, ["late"], 1.0) == []


def test_a_job_that_waits_past_its_deadline_is_never_run(worker: FakeWorker) -> None:
    ticket = worker.submit(job(deadline_s=5.0))
    worker.now_s = 5.0
    assert not worker.step()
    assert worker.outcomes() == {ticket: Outcome.EXPIRED}


def test_a_job_whose_deadline_comes_during_its_work_stops_there(worker: FakeWorker) -> None:
    ticket = worker.submit(job(blocks=100, deadline_s=3.5))
    worker.run()
    assert len(worker.batches) == 4
    assert worker.outcomes() == {ticket: Outcome.EXPIRED}


def test_an_answer_that_comes_after_the_deadline_is_not_given(worker: FakeWorker) -> None:
    ticket = worker.submit(job(deadline_s=2.0))
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    assert len(worker.scheduler.complete(batch, ["done"], 1.0)) == 1
    worker.scheduler.settle(ticket, Outcome.ANSWERED, 2.0)
    assert worker.outcomes() == {ticket: Outcome.EXPIRED}


def test_poison_fails_alone_and_its_mates_are_run_again(worker: FakeWorker) -> None:
    mates = [worker.submit(job()) for _ in range(3)]
    poison = worker.submit(job(payload="poison"))
    worker.run()
    assert set(worker.answers) == set(mates)
    assert worker.outcomes()[poison] is Outcome.FAILED
    assert [len(batch.units) for batch in worker.batches] == [4, 1, 1, 1, 1]


def test_a_mate_of_poison_is_run_again_although_the_poison_was_cancelled(worker: FakeWorker) -> None:
    poison, mate = worker.submit(job(payload="poison")), worker.submit(job())
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    worker.scheduler.settle(poison, Outcome.CANCELLED, 0.0)
    worker.scheduler.fault(batch, 0.0)
    worker.run()
    assert list(worker.answers) == [mate]


def test_more_units_than_the_queue_holds_are_refused_with_a_time_to_come_back() -> None:
    worker = FakeWorker(Scheduler(QueueLimits(max_units=10, max_bytes=100)))
    worker.submit(job())
    worker.step()
    worker.submit(job(blocks=8))
    with pytest.raises(RefusedError) as caught:
        worker.submit(job(blocks=3))
    assert caught.value.refusal is Refusal.QUEUE_FULL
    assert caught.value.retry_after_s == 2.0
    assert worker.scheduler.ledger.refused == {"queue_full": 1}
    worker.submit(job(blocks=2))


def test_more_bytes_than_the_queue_holds_are_refused() -> None:
    worker = FakeWorker(Scheduler(QueueLimits(max_units=10, max_bytes=100)))
    worker.submit(job(size_bytes=60))
    with pytest.raises(RefusedError, match="memory"):
        worker.submit(job(size_bytes=41))
    worker.run()
    worker.submit(job(size_bytes=100))


def test_a_job_that_could_not_be_done_in_time_is_refused_at_once(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    for _ in range(4):
        worker.submit(job(blocks=8))
    with pytest.raises(RefusedError, match="deadline") as caught:  # 2 batches of its own, twice 8 of others
        worker.submit(job(blocks=8, deadline_s=worker.now_s + 17.5))
    assert caught.value.retry_after_s == pytest.approx(0.5)
    worker.submit(job(blocks=8, deadline_s=worker.now_s + 18.5))
    worker.run()
    assert worker.scheduler.ledger.ended == {Outcome.ANSWERED: 6}


def test_a_small_job_is_not_refused_because_large_ones_wait(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    worker.submit(job(blocks=1000))
    assert worker.scheduler.predicted_s(job()) == 1.0


def test_what_runs_now_is_reckoned_with(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    worker.submit(job())
    worker.scheduler.next_batch(worker.now_s)
    with pytest.raises(RefusedError, match="deadline"):
        worker.submit(job(deadline_s=worker.now_s + 1.9))
    worker.submit(job(deadline_s=worker.now_s + 2.1))


def test_nobody_is_taken_on_who_would_make_late_what_is_in_already(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    large = worker.submit(job(blocks=40, deadline_s=worker.now_s + 11.5))
    with pytest.raises(RefusedError, match="deadline") as caught:
        worker.submit(job(blocks=8))
    assert caught.value.retry_after_s == 12.0  # when the large one would be done, and room is again
    other = worker.submit(job(key="other"))  # its batches were never timed
    worker.submit(job(blocks=40))  # comes behind the large one
    worker.run()
    assert {large, other} <= set(worker.answers)


def test_what_cannot_be_in_time_any_more_holds_nobody_up(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    worker.submit(job(blocks=40, deadline_s=worker.now_s + 11.5))
    worker.now_s += 5
    worker.submit(job(blocks=8))


def test_deadlines_of_answered_jobs_do_not_pile_up(worker: FakeWorker) -> None:
    for _ in range(5000):
        worker.submit(job(deadline_s=1e9))
        worker.step()
    assert len(worker.scheduler._deadlines) < 1010


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
    worker.submit(growing(1, 4, 2, more))
    with pytest.raises(ValueError, match="wanted rows and 1 to 2 blocks"):
        worker.run()


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
