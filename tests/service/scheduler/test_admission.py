"""The forecast, what it learns and how much it remembers, and who is turned away for it."""

from dataclasses import replace

import pytest
from mcdrop_service.scheduler import Answers, Outcome, QueueLimits, Refusal, RefusedError, Scheduler
from mcdrop_service.scheduler.admission import MOST_KEYS, Forecast

from tests.service.scheduler.jobs import WIDE, FakeWorker, in_pieces, job


def test_a_forecast_follows_what_was_measured_and_counts_full_batches() -> None:
    forecast = Forecast()
    assert forecast.units_s("model", 100, 4) == 0
    forecast.learn("model", 1.0)
    forecast.learn("model", 2.0)
    assert forecast.batch_s("model") == 1.2
    assert forecast.units_s("model", 9, 4) == 3 * 1.2


def test_a_batch_in_which_the_machine_stalled_turns_nobody_away(worker: FakeWorker) -> None:
    for batch_s in (0.01, 1.0):
        worker.batch_s = batch_s
        worker.submit(job())
        worker.step()
    worker.submit(job(blocks=400, deadline_s=worker.now_s + 2.0))


def test_a_model_that_becomes_slow_is_known_to_be_so_in_the_end() -> None:
    forecast = Forecast()
    forecast.learn("model", 0.01)
    for _ in range(20):
        forecast.learn("model", 1.0)
    assert 0.9 < forecast.batch_s("model") < 1.0


def test_a_forecast_counts_the_making_of_answers_by_their_units() -> None:
    forecast = Forecast()
    forecast.learn("model", 1.0)
    forecast.learn_answers("model", 8, 2.0)
    assert forecast.units_s("model", 9, 4) == 3 + 9 / 4


def test_keys_that_were_not_measured_for_long_are_forgotten() -> None:
    forecast = Forecast()
    for key in range(MOST_KEYS):
        forecast.learn(key, 1.0)
    forecast.learn(0, 1.0)
    forecast.suppose("one more", 0)
    assert [forecast.batch_s(key) for key in (0, 1, 2)] == [1.0, 0.0, 1.0]


def test_more_units_than_the_queue_holds_are_refused_with_a_time_to_come_back() -> None:
    worker = FakeWorker(Scheduler(QueueLimits(max_units=10, max_bytes=100)))
    worker.submit(job())
    worker.step()
    worker.submit(job(blocks=8))
    with pytest.raises(RefusedError) as caught:
        worker.submit(job(blocks=3))
    assert caught.value.refusal is Refusal.QUEUE_FULL
    assert caught.value.retry_after_s == 2.0
    with pytest.raises(RefusedError, match="queue_full"):
        worker.submit(job(blocks=3))
    assert worker.scheduler.ledger.refused == {"queue_full": 2}
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


def test_an_answer_that_would_come_at_its_deadline_is_too_late(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    with pytest.raises(RefusedError, match="deadline"):
        worker.submit(job(deadline_s=worker.now_s + 1.0))


def test_nobody_is_too_late_while_no_batch_was_timed(worker: FakeWorker) -> None:
    worker.submit(job(blocks=1000, deadline_s=0.5))


@pytest.mark.parametrize("busy", [None, "other", "model"])
def test_what_was_measured_in_a_bad_moment_turns_nobody_away_for_good(
    worker: FakeWorker, busy: str | None
) -> None:
    """A process that was stopped for a while (`docker pause`) would refuse every request until its end."""
    worker.batch_s, worker.answer_s = 100.0, 100.0
    worker.submit(job())
    worker.step()
    if busy:
        worker.submit(job(key=busy))
    for _ in range(4):  # 200, 100, 50 and 25 seconds
        with pytest.raises(RefusedError, match="deadline"):
            worker.submit(job(deadline_s=worker.now_s + 20))
    if busy == "model":
        with pytest.raises(RefusedError, match="deadline"):  # how long it takes is learnt from what waits
            worker.submit(job(deadline_s=worker.now_s + 20))
    else:
        worker.submit(job(deadline_s=worker.now_s + 30))


def test_what_was_never_measured_is_not_taken_to_be_known_after_a_bad_moment() -> None:
    forecast = Forecast()
    forecast.learn("model", 100.0)
    forecast.doubt("model")
    assert forecast.batch_s("model") == 50.0
    forecast.learn(Answers("model"), 4.0)
    assert forecast.batch_s(Answers("model")) == 4.0


def test_what_is_measured_after_a_doubt_counts_alone() -> None:
    forecast = Forecast()
    forecast.learn("model", 100.0)
    forecast.learn_answers("model", 64, 100.0)
    forecast.doubt("model")
    forecast.learn("model", 1.0)
    forecast.learn_answers("model", 2, 4.0)
    assert forecast.units_s("model", 4, 4) == 1 + 4 * 2
    forecast.learn("model", 2.0)
    assert forecast.batch_s("model") == 1.2


def test_of_a_new_key_what_is_known_of_another_is_expected_until_it_is_measured() -> None:
    forecast = Forecast()
    forecast.learn("old", 4.0)
    for key, seconds, kind in (("old", 3.0, "few"), ("old", 13.0, "many"), ("other", 7.0, "few")):
        forecast.learn(Answers(key), seconds, kind)
    forecast.learn_answers("old", 4, 2.0)
    forecast.learn_fill("old", 2)
    forecast.suppose("new", "old")
    forecast.suppose("newer", "unknown")
    few, many, unlike = (replace(in_pieces(1, kind=kind), key="new") for kind in ("few", "many", "unlike"))
    assert forecast.units_s("new", 4, 4) == 2 * 4 + 2
    assert [forecast.pieces_s(each, 2) for each in (few, many, unlike)] == [6, 26, 10]
    assert forecast.units_s("newer", 4, 4) == 0
    forecast.learn("new", 1.0)
    forecast.learn(Answers("new"), 1.0, "few")
    assert (forecast.batch_s("new"), forecast.batch_s("old"), forecast.pieces_s(few, 1)) == (1.0, 4.0, 1.0)


def test_of_a_client_that_never_waits_long_enough_every_second_request_is_refused(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.run()
    for _ in range(10):
        with pytest.raises(RefusedError, match="deadline"):
            worker.submit(job(deadline_s=worker.now_s + 0.9))
        worker.submit(job(deadline_s=worker.now_s + 0.9))
        worker.run()
    assert worker.scheduler.ledger.ended == {Outcome.ANSWERED: 1, Outcome.EXPIRED: 10}


def test_batches_that_unlike_jobs_cannot_fill_are_reckoned_with(worker: FakeWorker) -> None:
    for lot in (1, 2, 3):
        worker.submit(job(lot=lot))
    worker.step()
    assert worker.scheduler.predicted_s(job(blocks=4, lot=4)) == 6.0  # two wait, and none shares a batch


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


def test_what_runs_apart_after_a_fault_is_reckoned_with(worker: FakeWorker) -> None:
    worker.answer_s = 0.25
    worker.submit(job())
    worker.step()
    tickets = [worker.submit(job(payload=payload)) for payload in ("plain", "poison", "plain")]
    worker.step()
    assert worker.scheduler.predicted_s(job()) == 3 * 1.25 + 1.25
    worker.scheduler.settle(tickets[2], Outcome.CANCELLED, worker.now_s)
    assert worker.scheduler.predicted_s(job()) == 2 * 1.25 + 1.25
    with pytest.raises(RefusedError, match="deadline") as caught:
        worker.submit(job(deadline_s=worker.now_s + 3.5))
    assert caught.value.retry_after_s == pytest.approx(0.25)
    worker.scheduler.next_batch(worker.now_s)  # its first is under way, and takes a second
    with pytest.raises(RefusedError, match="deadline"):
        worker.submit(job(deadline_s=worker.now_s + 3.25))
    worker.submit(job(deadline_s=worker.now_s + 4))


def test_a_full_queue_says_to_come_back_when_what_runs_apart_is_done_too() -> None:
    worker = FakeWorker(Scheduler(QueueLimits(max_units=4, max_bytes=100)))
    for payload in ("plain", "poison"):
        worker.submit(job(payload=payload))
    worker.scheduler._forecast.learn("model", 1.0)
    worker.step()
    worker.submit(job(blocks=4))
    with pytest.raises(RefusedError, match="queue_full") as caught:
        worker.submit(job())
    assert caught.value.retry_after_s == 3.0


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


@pytest.mark.parametrize(("blocks", "done_s"), [(8, 13.0), (9, 14.0)])
def test_a_job_of_another_key_is_not_made_late_either(worker: FakeWorker, blocks: int, done_s: float) -> None:
    for key in "abc":
        worker.submit(job(key=key))
        worker.step()
    worker.submit(job(key="c", blocks=2))
    due = worker.submit(job(key="a", blocks=40, deadline_s=worker.now_s + 12.5))
    worker.now_s += 0.75  # 11.75 are left, 10 of its own and 1 of c are wanted
    with pytest.raises(RefusedError, match="deadline") as caught:
        worker.submit(job(key="b", blocks=blocks))
    assert caught.value.retry_after_s == done_s
    worker.run()
    assert due in worker.answers


def test_a_slow_key_is_not_made_late_by_a_fast_one(worker: FakeWorker) -> None:
    for key, batch_s in (("slow", 100.0), ("fast", 1.0)):
        worker.batch_s = batch_s
        worker.submit(job(key=key))
        worker.step()
    worker.submit(job(key="slow", blocks=40, deadline_s=worker.now_s + 1050))
    with pytest.raises(RefusedError, match="deadline"):
        worker.submit(job(key="fast", blocks=4, deadline_s=1e6))


def test_what_cannot_be_in_time_any_more_holds_nobody_up(worker: FakeWorker) -> None:
    worker.submit(job())
    worker.step()
    worker.submit(job(blocks=40, deadline_s=worker.now_s + 11.5))
    worker.now_s += 1.5  # it would be done at its deadline, which is late
    worker.submit(job(blocks=8))


def test_the_making_of_answers_is_reckoned_with(worker: FakeWorker) -> None:
    worker.answer_s = 0.25
    worker.submit(job(blocks=4))
    worker.run()
    assert worker.scheduler.predicted_s(job(blocks=4)) == 2.0


def test_deadlines_hold_after_those_of_many_answered_jobs_were_forgotten() -> None:
    worker = FakeWorker(Scheduler(WIDE), batch_s=0.0)
    early, late = (worker.submit(job(blocks=10_000, deadline_s=due_s)) for due_s in (10.0, 20.0))
    for _ in range(1500):
        worker.submit(job(deadline_s=30.0))
        worker.step()
    assert len(worker.answers) == 1500
    worker.outcomes()
    for ticket, due_s in ((early, 10.0), (late, 20.0)):
        worker.now_s = due_s
        worker.scheduler.expire(due_s)
        assert worker.outcomes() == {ticket: Outcome.EXPIRED}


def test_deadlines_of_answered_jobs_do_not_pile_up(worker: FakeWorker) -> None:
    for _ in range(5000):
        worker.submit(job(deadline_s=1e9))
        worker.step()
    assert len(worker.scheduler._deadlines) < 1010
