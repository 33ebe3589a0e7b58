"""Answers that are made in pieces: the turns that they take, and what is reckoned of them."""

from collections import deque
from dataclasses import replace

import pytest
from mcdrop_service.scheduler import Answers, Job, More, Outcome, Pieces, QueueLimits, RefusedError, Scheduler

from tests.service.scheduler.jobs import WIDE, FakeWorker, growing, in_pieces, job


def kinds(worker: FakeWorker) -> str:
    """What was run: `b` for a batch, `p` for a piece."""
    return "".join("p" if isinstance(batch.key, Answers) else "b" for batch in worker.batches)


def test_each_piece_runs_alone_with_the_work_that_it_is_of(worker: FakeWorker) -> None:
    first, second = worker.submit(in_pieces(3, rows=2)), worker.submit(in_pieces(1))
    worker.run()
    assert kinds(worker) == "bpppp"
    pieces = [unit for batch in worker.batches[1:] for unit in batch.units]
    assert [(unit.ticket, unit.row, unit.payload) for unit in pieces] == [
        (second, 0, "work"),
        *[(first, index, "work") for index in range(3)],
    ]
    assert worker.outcomes() == {first: Outcome.ANSWERED, second: Outcome.ANSWERED}
    scheduler = worker.scheduler
    assert (scheduler.waiting_units, scheduler.reserved_units, scheduler._pieces) == (0, 0, 0)


def test_pieces_share_the_time_equally_with_batches(worker: FakeWorker) -> None:
    worker.batch_s, worker.piece_s = 0.1, 0.4
    worker.submit(in_pieces(5))
    worker.step()
    worker.step()
    worker.submit(job(blocks=80))
    worker.run()
    assert kinds(worker) == "bp" + "bbbp" + "bbbbp" * 3 + "bbbbb"


def test_a_job_that_ended_is_not_answered_any_further(worker: FakeWorker) -> None:
    asked = in_pieces(9, deadline_s=4.5)
    late, cancelled = worker.submit(asked), worker.submit(in_pieces(1))
    worker.step()
    worker.scheduler.settle(cancelled, Outcome.CANCELLED, worker.now_s)
    worker.scheduler.make(cancelled, Pieces(3, "work"), worker.now_s)
    worker.run()
    assert kinds(worker) == "bpppp"
    assert worker.outcomes() == {late: Outcome.EXPIRED, cancelled: Outcome.CANCELLED}
    assert (worker.scheduler.waiting_units, worker.scheduler._pieces) == (0, 0)


def test_an_answer_of_no_pieces_is_refused(worker: FakeWorker) -> None:
    asked = worker.submit(replace(in_pieces(0), pieces=2))
    with pytest.raises(ValueError, match="wanted at least 1 piece, got 0"):
        worker.run()
    worker.scheduler.settle(asked, Outcome.FAILED, worker.now_s)
    assert (worker.scheduler.reserved_units, worker.scheduler._pieces) == (0, 0)


def test_a_job_that_grew_can_be_answered_in_pieces_and_is_learnt_from_without_them(
    worker: FakeWorker,
) -> None:
    ticket = worker.submit(growing(4, 64, 2, More((0, 1, 2, 3), 4)))
    worker.run(until=lambda: len(worker.batches) == 5)
    batch = worker.scheduler.next_batch(worker.now_s)
    assert batch is not None
    (ripe,) = worker.scheduler.complete(batch, ["last"] * 4, worker.now_s + 1)
    worker.scheduler.make(ripe.ticket, Pieces(2, "work"), worker.now_s + 1)
    assert worker.scheduler.reserved_units == 2
    worker.run()
    assert worker.outcomes() == {ticket: Outcome.ANSWERED}
    assert worker.scheduler.predicted_s(growing(4, 64, 2)) == 6.0


def test_pieces_are_reckoned_with_before_the_units_of_their_job_are_done(worker: FakeWorker) -> None:
    worker.piece_s = 2.0
    worker.submit(in_pieces(1))
    worker.run()
    assert worker.scheduler.predicted_s(in_pieces(3)) == 1 + 6.0
    assert worker.scheduler.predicted_s(job()) == 1.0
    worker.submit(in_pieces(4, blocks=4))
    assert worker.scheduler.predicted_s(in_pieces(2, blocks=8)) == 3 + 4 * 2 + 2 * 2
    with pytest.raises(RefusedError, match="deadline"):  # it would come first, and be made behind
        worker.submit(in_pieces(1, deadline_s=worker.now_s + 2.5))


def test_pieces_that_wait_are_reckoned_with(worker: FakeWorker) -> None:
    worker.piece_s = 2.0
    worker.submit(in_pieces(4, deadline_s=21.0))
    worker.run(until=lambda: kinds(worker) == "bp")
    assert worker.now_s == 3.0
    assert worker.scheduler.predicted_s(in_pieces(4)) == 1 + 6 + 8.0  # behind those that wait
    assert worker.scheduler.predicted_s(in_pieces(2)) == 1 + 4.0  # before them
    assert worker.scheduler.predicted_s(job(blocks=4)) == 1 + 1.0  # takes turns with them
    with pytest.raises(RefusedError, match="deadline"):
        worker.submit(in_pieces(4, deadline_s=worker.now_s + 14))
    with pytest.raises(RefusedError, match="deadline") as caught:  # it would make the one before late
        worker.submit(in_pieces(2, blocks=32))
    assert caught.value.retry_after_s == 18.0
    worker.submit(in_pieces(2))
    worker.run()
    assert worker.scheduler.ledger.ended == {Outcome.ANSWERED: 2}


@pytest.fixture
def measured(worker: FakeWorker) -> FakeWorker:
    """It knows that a piece of `many` takes 10 seconds, and one of `few` 1; most were of `few`."""
    for kind, piece_s in (("many", 10.0), *[("few", 1.0)] * 20):
        worker.piece_s = piece_s
        worker.submit(in_pieces(1, kind=kind))
        worker.run()
    return worker


def test_pieces_of_unlike_kinds_are_forecast_apart(measured: FakeWorker) -> None:
    scheduler = measured.scheduler
    assert scheduler.predicted_s(in_pieces(3, kind="few")) == 1 + 3.0
    assert scheduler.predicted_s(in_pieces(3, kind="many")) == 1 + 30.0
    assert 3 < scheduler.predicted_s(in_pieces(3, kind="new")) - 1 < 30  # as those of both
    measured.submit(in_pieces(2, kind="many"))
    assert scheduler.predicted_s(in_pieces(3, blocks=4, kind="few")) == 2 + 20 + 3.0
    measured.step()  # they wait to be made, and one is under way
    measured.scheduler.next_batch(measured.now_s)
    assert scheduler.predicted_s(in_pieces(3, kind="few")) == 1 + 10 + 3.0
    with pytest.raises(RefusedError, match="deadline"):  # 10 under way, 2 of its own, twice 10 of the other
        measured.submit(in_pieces(1, deadline_s=measured.now_s + 31.5, kind="few"))
    measured.submit(in_pieces(1, deadline_s=measured.now_s + 32.5, kind="few"))


def test_pieces_that_take_long_are_not_taken_on_because_most_take_none(measured: FakeWorker) -> None:
    for _ in range(2):  # 30 and 15 seconds
        with pytest.raises(RefusedError, match="deadline"):
            measured.submit(in_pieces(3, deadline_s=measured.now_s + 15, kind="many"))
    assert measured.scheduler.predicted_s(in_pieces(3, kind="few")) == 0.25 + 3.0
    measured.submit(in_pieces(3, deadline_s=measured.now_s + 15, kind="many"))


def test_a_full_queue_says_to_come_back_when_the_pieces_are_made_too() -> None:
    worker = FakeWorker(Scheduler(QueueLimits(max_units=4, max_bytes=100)), piece_s=2.0)
    worker.submit(in_pieces(1))
    worker.run()
    worker.submit(in_pieces(3, blocks=4))
    with pytest.raises(RefusedError, match="queue_full") as caught:
        worker.submit(job())
    assert caught.value.retry_after_s == 1 + 3 * 2


@pytest.mark.parametrize("busy", [None, job(), in_pieces(1, kind="many")])
def test_pieces_that_took_long_in_a_bad_moment_turn_nobody_away_for_good(
    worker: FakeWorker, busy: Job | None
) -> None:
    worker.piece_s = 100.0
    worker.submit(in_pieces(1, kind="many"))
    worker.run()
    if busy:
        worker.submit(busy)
    for _ in range(4):  # 100, 50, 25 and 12.5 seconds
        with pytest.raises(RefusedError, match="deadline"):
            worker.submit(in_pieces(1, deadline_s=worker.now_s + 10, kind="many"))
    if busy and busy.pieces:  # from which it is learnt how long they take
        assert worker.scheduler.predicted_s(in_pieces(1, kind="many")) == 1 + 200.0
    else:
        if busy:  # from which it is learnt how long batches take
            assert worker.scheduler.predicted_s(job()) == 1.0
        worker.submit(in_pieces(1, deadline_s=worker.now_s + 10, kind="many"))


def test_pieces_of_a_new_kind_are_not_refused_for_good_for_what_others_take(measured: FakeWorker) -> None:
    measured.submit(job())
    asked = in_pieces(20, deadline_s=measured.now_s + 22, kind="new")
    with pytest.raises(RefusedError, match="deadline"):
        measured.submit(asked)
    measured.submit(asked)
    measured.run()
    assert measured.scheduler.predicted_s(in_pieces(1, kind="new")) == 1 + 1.0


@pytest.mark.parametrize("pieces", [1, 4])
def test_of_three_times_as_much_as_can_be_done_what_is_taken_on_is_answered(pieces: int) -> None:
    """Pieces that nobody reckoned with shared the time of all that were ever taken on: all were late."""
    one_s = pieces * 0.05 + 0.001
    times = [index * one_s / 3 for index in range(int(30 / one_s))]
    offers = deque((at_s, in_pieces(pieces, deadline_s=at_s + 1.0)) for at_s in times)
    worker = FakeWorker(Scheduler(WIDE), batch_s=0.001, piece_s=0.05, offers=offers)
    worker.serve()
    ended = worker.scheduler.ledger.ended
    assert ended[Outcome.ANSWERED] * one_s > 0.95 * worker.now_s
    assert ended[Outcome.ANSWERED] > 0.98 * worker.scheduler.ledger.accepted


def test_a_large_answer_does_not_hold_up_small_ones_of_its_key(worker: FakeWorker) -> None:
    large = worker.submit(in_pieces(100))
    worker.step()
    worker.step()
    small = worker.submit(in_pieces(1))
    worker.run(until=lambda: small in worker.answers)
    assert kinds(worker) == "bppbp"
    assert large not in worker.answers
