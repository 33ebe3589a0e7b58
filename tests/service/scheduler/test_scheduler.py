"""The scheduler, one property at a time, with a fake worker and a fake clock."""

import pytest
from mcdrop_service.scheduler import Outcome, Settled

from tests.service.scheduler.jobs import CAPACITY, FakeWorker, job


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


def test_a_mate_of_a_job_cancelled_while_it_runs_is_answered(worker: FakeWorker) -> None:
    first, mate = worker.submit(job()), worker.submit(job())
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    worker.scheduler.settle(first, Outcome.CANCELLED, 0.5)
    (ripe,) = worker.scheduler.complete(batch, ["late", "in time"], 1.0)
    assert (ripe.ticket, ripe.results) == (mate, ["in time"])


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


def test_an_answer_is_told_with_the_outcome_if_it_is_in_time(worker: FakeWorker) -> None:
    tickets = [worker.submit(job(deadline_s=due_s)) for due_s in (2.0, 3.0)]
    for ticket in tickets:
        worker.scheduler.settle(ticket, Outcome.ANSWERED, 2.0, f"answer {ticket}")
    told = worker.scheduler.settled()
    assert told == [Settled(0, Outcome.EXPIRED), Settled(1, Outcome.ANSWERED, "answer 1")]


def test_poison_fails_alone_and_its_mates_are_run_again(worker: FakeWorker) -> None:
    mates = [worker.submit(job()) for _ in range(3)]
    poison = worker.submit(job(payload="poison"))
    worker.run()
    assert set(worker.answers) == set(mates)
    assert worker.outcomes()[poison] is Outcome.FAILED
    assert [len(batch.units) for batch in worker.batches] == [4, 1, 1, 1, 1]


def test_all_units_of_a_job_fail_and_are_run_again_together(worker: FakeWorker) -> None:
    poison, mate = worker.submit(job(blocks=2, payload="poison")), worker.submit(job(blocks=2))
    worker.run()
    assert worker.outcomes() == {poison: Outcome.FAILED, mate: Outcome.ANSWERED}
    assert [len(batch.units) for batch in worker.batches] == [4, 2, 2]


def test_a_worker_that_brings_fewer_results_than_units_is_told(worker: FakeWorker) -> None:
    worker.submit(job(blocks=2))
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    with pytest.raises(ValueError, match="shorter"):
        worker.scheduler.complete(batch, ["one"], 1.0)


def test_a_mate_of_poison_is_run_again_although_the_poison_was_cancelled(worker: FakeWorker) -> None:
    poison, mate = worker.submit(job(payload="poison")), worker.submit(job())
    batch = worker.scheduler.next_batch(0.0)
    assert batch is not None
    worker.scheduler.settle(poison, Outcome.CANCELLED, 0.0)
    worker.scheduler.fault(batch, 0.0)
    worker.run()
    assert list(worker.answers) == [mate]
