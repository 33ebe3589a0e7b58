"""The thread between the event loop and the work, with a fake that does the work."""

import asyncio
import sys
import threading
import time
import weakref
from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import uvloop
from mcdrop_service.errors import WorkerDiedError
from mcdrop_service.execution.dispatcher import Dispatcher, Reply
from mcdrop_service.scheduler import Job, More, Outcome, Pieces, QueueLimits, RefusedError, Ripe, Unit

from tests.support.wire import PATIENCE_S

LIMITS = QueueLimits(max_units=100, max_bytes=100)


class FakeRunner:
    """Answers with the payload; `hold` blocks it until it is released, `bad` makes it fail."""

    def __init__(self) -> None:
        self.threads: set[str] = set()
        self.begun = threading.Event()
        self.release = threading.Event()
        self.order: list[str] = []

    def run_batch(self, units: Sequence[Unit]) -> Sequence[Any]:
        self.order.append("batch")
        self.threads.add(threading.current_thread().name)
        if any(unit.payload == "hold" for unit in units):
            self.begun.set()
            self.release.wait()
        if any(unit.payload == "bad" for unit in units):
            raise ValueError("bad")
        if any(unit.payload == "exit" for unit in units):
            raise SystemExit
        if any(unit.payload == "deadly" for unit in units):
            return [None] * (len(units) + 1)
        return [unit.payload for unit in units]

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[Any]:
        if "unfinished" in [its.payload for its in ripe]:
            raise ArithmeticError("unfinished")
        if "exit answer" in [its.payload for its in ripe]:
            raise SystemExit
        return [self._more(its) or self._pieces(its) or (its.payload, len(its.results)) for its in ripe]

    def _pieces(self, its: Ripe) -> Pieces | None:
        """`pieces 3` is answered after three pieces; the second of `pieces broken` or `exit` fails."""
        name, _, count = its.payload.partition(" ")
        if name != "pieces":
            return None
        pieces = int(count) if count.isdigit() else 2
        return Pieces(pieces, self._made(its.payload, pieces))

    def _made(self, payload: str, pieces: int) -> Iterator[Any]:
        for made in range(1, pieces + 1):
            self.order.append("piece")
            if made == pieces and payload == "pieces broken":
                raise ArithmeticError("unfinished")
            if made == pieces and payload == "pieces exit":
                raise SystemExit
            yield payload if made == pieces else None

    def _more(self, its: Ripe) -> More | None:
        """`grow 3` wants three times one more block."""
        rounds = its.carried or 0
        name, _, times = its.payload.partition(" ")
        return More((0,), 1, rounds + 1) if name == "grow" and rounds < int(times) else None


def job(payload: str, *, blocks: int = 1, patience_s: float = 60.0, now_s: float | None = None) -> Job:
    first = 1 if payload.startswith("grow") else None
    name, _, count = payload.partition(" ")
    pieces = int(count) if name == "pieces" and count.isdigit() else 0
    due_s = (time.monotonic() if now_s is None else now_s) + patience_s
    return Job("model", 1, blocks, 4, 1, due_s, payload=payload, first_blocks=first, pieces=pieces)


@pytest.fixture
def still(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the dispatcher's clock stand: no job is late before it comes, and timers ring as ever."""
    now_s = time.monotonic()
    monkeypatch.setattr("mcdrop_service.execution.dispatcher.time", SimpleNamespace(monotonic=lambda: now_s))


STILL = pytest.mark.usefixtures("still")


def dispatched(
    test: Callable[[Dispatcher, FakeRunner], Awaitable[None]], runner: FakeRunner | None = None
) -> Dispatcher:
    """Run a test against a started dispatcher, and stop it."""
    runner = runner or FakeRunner()
    dispatcher = Dispatcher(runner, LIMITS)

    async def main() -> None:
        dispatcher.start()
        try:
            await test(dispatcher, runner)
        finally:
            runner.release.set()
            dispatcher.stop()

    asyncio.run(main())
    return dispatcher


async def until(holds: Callable[[], bool]) -> None:
    """Let the thread go on until something holds."""
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit
        await asyncio.sleep(0.001)


def test_many_jobs_are_answered_each_with_its_own_by_one_thread() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        replies = await asyncio.gather(*(dispatcher.run(job(str(i), blocks=1 + i % 3)) for i in range(30)))
        assert replies == [(Outcome.ANSWERED, (str(i), 1 + i % 3)) for i in range(30)]
        assert runner.threads == {"mcdrop-worker"}

    dispatched(test)


def test_jobs_that_come_together_share_a_batch() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        await until(lambda: dispatcher._asleep)
        first = asyncio.create_task(dispatcher.run(job("a")))
        await asyncio.sleep(0)
        runner.release.wait(0.05)  # the thread could begin now, if it were awake
        assert runner.order == []
        assert (await dispatcher.run(job("b")))[0] is Outcome.ANSWERED
        assert (await first)[0] is Outcome.ANSWERED
        assert runner.order == ["batch"]

    dispatched(test)


def test_a_job_that_fails_hurts_none_that_waits_beside_it(caplog: pytest.LogCaptureFixture) -> None:
    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        payloads = ["a", "bad", "b", "unfinished"]
        replies = await asyncio.gather(*(dispatcher.run(job(payload)) for payload in payloads))
        outcomes = [outcome for outcome, _ in replies]
        assert outcomes == [Outcome.ANSWERED, Outcome.FAILED, Outcome.ANSWERED, Outcome.FAILED]

    dispatcher = dispatched(test)
    assert dispatcher.ledger.live == 0
    assert "run again apart" in caplog.text


def test_jobs_that_grow_are_answered_beside_others_and_one_that_wants_too_much_fails_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        payloads = ["grow 3", "a", "grow 4", "unfinished", "grow 0"]
        replies = await asyncio.gather(*(dispatcher.run(job(each, blocks=4)) for each in payloads))
        failed = Outcome.FAILED
        assert [outcome is failed for outcome, _ in replies] == [False, False, True, True, False]
        assert [answer for outcome, answer in replies if outcome is not failed] == [
            ("grow 3", 1),
            ("a", 4),
            ("grow 0", 1),
        ]

    assert dispatched(test).ledger.live == 0
    assert "wanted more than a request may take" in caplog.text


def test_a_waiter_that_is_cancelled_frees_its_place() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        waiting = asyncio.create_task(dispatcher.run(job("never", blocks=90)))
        await asyncio.sleep(0)
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        runner.release.set()
        assert (await held)[0] is Outcome.ANSWERED
        assert (await dispatcher.run(job("next", blocks=90)))[0] is Outcome.ANSWERED

    dispatcher = dispatched(test)
    assert dispatcher.ledger.ended[Outcome.CANCELLED] == 1


@STILL
def test_a_deadline_is_kept_while_the_worker_is_stuck() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        assert (await dispatcher.run(job("late", patience_s=0.05)))[0] is Outcome.EXPIRED
        runner.release.set()
        await held

    dispatched(test)


@STILL
def test_every_deadline_is_kept_whatever_the_order_in_which_they_come() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        expired: list[float] = []
        now_s = time.monotonic()

        async def late(patience_s: float) -> None:
            asked = job("late", patience_s=patience_s, now_s=now_s)
            assert (await dispatcher.run(asked))[0] is Outcome.EXPIRED
            expired.append(patience_s)

        await asyncio.wait_for(asyncio.gather(*map(late, (0.06, 0.02, 0.04, 0.08))), PATIENCE_S)
        assert expired == [0.02, 0.04, 0.06, 0.08]
        runner.release.set()
        await held

    dispatched(test)


@STILL
def test_a_deadline_is_kept_by_a_loop_whose_timers_ring_early() -> None:
    """uvloop rounds 20.4 ms to 20, from a clock that is rounded too."""

    async def test() -> None:
        runner = FakeRunner()
        dispatcher = Dispatcher(runner, LIMITS)
        dispatcher.start()
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        for _ in range(10):
            late = dispatcher.run(job("late", patience_s=0.0204))
            assert (await asyncio.wait_for(late, PATIENCE_S))[0] is Outcome.EXPIRED
        runner.release.set()
        await held
        dispatcher.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as loop:
        loop.run(test())


def test_calls_and_batches_take_turns_and_a_call_that_nobody_waits_for_is_not_made() -> None:
    order: list[str] = []

    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        job_done = asyncio.create_task(dispatcher.run(job("a", blocks=8)))
        calls = [asyncio.create_task(dispatcher.call(order.append, str(number))) for number in range(4)]
        await asyncio.sleep(0)
        calls[0].cancel()
        runner.order = order
        runner.release.set()
        await asyncio.gather(held, job_done, *calls[1:])
        assert order == ["batch", "1", "batch", "2", "3"]

    dispatched(test)


def test_a_job_that_is_turned_away_raises() -> None:
    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        with pytest.raises(RefusedError, match="queue_full"):
            await dispatcher.run(job("large", blocks=101))

    dispatched(test)


def test_a_call_returns_or_raises_what_the_function_does() -> None:
    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        assert await dispatcher.call(threading.current_thread) is not threading.current_thread()
        with pytest.raises(ZeroDivisionError):
            await dispatcher.call(divmod, 1, 0)

    dispatched(test)


@pytest.mark.parametrize("fatal", ["exit", "exit answer", "pieces exit"])
def test_a_model_that_ends_the_interpreter_ends_its_own_request_only(fatal: str) -> None:
    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        replies = await asyncio.gather(*(dispatcher.run(job(each)) for each in ("a", fatal, "b")))
        assert [outcome is Outcome.ANSWERED for outcome, _ in replies] == [True, False, True]
        with pytest.raises(RuntimeError, match="SystemExit was raised"):
            await dispatcher.call(sys.exit)

    dispatched(test)


def test_whoever_waits_is_told_when_the_thread_dies(caplog: pytest.LogCaptureFixture) -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        assert dispatcher.busy_s > 0
        waiting = [asyncio.create_task(dispatcher.run(job(each))) for each in ("deadly", "a")]
        made, never = (asyncio.create_task(dispatcher.call(int)) for _ in range(2))  # before them and after
        await asyncio.sleep(0)
        runner.release.set()
        assert (await held)[0] is Outcome.ANSWERED
        assert [(await each)[0] for each in waiting] == [Outcome.FAILED] * 2
        assert await made == 0
        for late in (never, dispatcher.call(int), dispatcher.run(job("b"))):
            with pytest.raises(WorkerDiedError, match="the worker died"):
                await asyncio.wait_for(late, 10)

    dispatcher = dispatched(test)
    assert (dispatcher.died, dispatcher.alive) == (True, False)
    assert "the worker died" in caplog.text


def voluntary_switches(dispatcher: Dispatcher) -> int:
    """How often the thread has gone to sleep."""
    status = Path(f"/proc/self/task/{dispatcher._thread.native_id}/status").read_text()
    return int(status.partition("\nvoluntary_ctxt_switches:")[2].split()[0])


def test_the_thread_sleeps_without_a_timer_and_ends_when_told() -> None:
    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        assert (await dispatcher.run(job("one")))[0] is Outcome.ANSWERED
        assert dispatcher.alive
        while (switches := voluntary_switches(dispatcher)) != seen[-1]:
            seen.append(switches)
            assert len(seen) < 20  # a machine that is busy may keep it from its bed for a while
            await asyncio.sleep(0.05)

    seen = [0]
    dispatcher = dispatched(test)
    dispatcher._thread.join(PATIENCE_S)
    assert not dispatcher.alive


def test_what_waits_when_it_is_stopped_is_done_before_the_end() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        held = asyncio.create_task(dispatcher.run(job("hold")))
        await asyncio.to_thread(runner.begun.wait)
        waiting = [
            asyncio.create_task(dispatcher.run(job(each, blocks=3))) for each in ("grow 2", "pieces 3")
        ]
        await asyncio.sleep(0)
        runner.release.set()
        dispatcher.stop()
        outcomes = [outcome for outcome, _ in await asyncio.gather(held, *waiting)]
        assert outcomes == [Outcome.ANSWERED] * 3

    dispatched(test)


class SlowPieces(FakeRunner):
    """Each piece takes 20 ms on a clock of its own; the first is held, as by `hold`."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = time.monotonic() + 3600  # so that no timer of the event loop rings for it

    def monotonic(self) -> float:
        """Its time."""
        return self.now_s

    def _made(self, payload: str, pieces: int) -> Iterator[Any]:
        for each in super()._made(payload, pieces):
            self.begun.set()
            self.release.wait()
            self.now_s += 0.02
            yield each


@pytest.fixture
def slow_pieces(monkeypatch: pytest.MonkeyPatch) -> SlowPieces:
    """On whose clock the dispatcher looks too."""
    runner = SlowPieces()
    monkeypatch.setattr("mcdrop_service.execution.dispatcher.time", runner)
    return runner


def test_an_answer_in_pieces_lets_others_have_their_turn_between_them(slow_pieces: SlowPieces) -> None:
    order = slow_pieces.order

    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        async def reply(payload: str) -> Reply:
            found = await dispatcher.run(job(payload, now_s=slow_pieces.now_s))
            done.append(payload)
            return found

        done: list[str] = []
        asked = [asyncio.create_task(reply(f"pieces {count}")) for count in ("30", "3", "broken")]
        await asyncio.to_thread(runner.begun.wait)
        asked.append(asyncio.create_task(reply("a")))
        await asyncio.sleep(0)
        runner.release.set()
        assert await asyncio.gather(*asked) == [
            (Outcome.ANSWERED, "pieces 30"),
            (Outcome.ANSWERED, "pieces 3"),
            (Outcome.FAILED, None),
            (Outcome.ANSWERED, ("a", 1)),
        ]
        assert (done[0], done[-1]) == ("a", "pieces 30")
        assert "batch" in order[order.index("piece") : 10]
        assert "batch" not in order[10:]
        assert order.count("piece") == 35
        assert dispatcher.ledger.live == 0

    dispatched(test, slow_pieces)


@STILL
def test_of_an_answer_that_nobody_waits_for_no_further_piece_is_made() -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        late = await dispatcher.run(job("pieces 1000000", patience_s=0.05))
        assert late == (Outcome.EXPIRED, None)
        await dispatcher.call(lambda: None)
        made = len(runner.order)
        await dispatcher.run(job("a"))
        assert len(runner.order) == made + 1

    dispatched(test)


def test_nothing_of_an_answer_is_held_once_it_was_given() -> None:
    class Large:
        """A result."""

    class Holding(FakeRunner):
        """Its pieces need their results to the end."""

        def run_batch(self, units: Sequence[Unit]) -> Sequence[Any]:
            large = [Large() for _ in super().run_batch(units)]
            held.extend(map(weakref.ref, large))
            return large

    held: list[weakref.ref[Large]] = []

    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        assert (await dispatcher.run(job("pieces 2")))[0] is Outcome.ANSWERED
        await until(lambda: held[0]() is None)  # the thread is on its way to sleep

    dispatched(test, Holding())


def test_what_is_made_in_pieces_is_not_taken_to_be_made_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    learnt: list[int] = []

    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        scheduler = dispatcher._scheduler
        monkeypatch.setattr(scheduler, "answers_made", lambda _key, units, _seconds: learnt.append(units))
        light = asyncio.create_task(dispatcher.run(job("a")))
        await asyncio.gather(light, dispatcher.run(job("pieces 2", blocks=3)))

    dispatched(test)
    assert learnt == [1]


def test_more_pieces_than_there_are_fail_alone(caplog: pytest.LogCaptureFixture) -> None:
    class Wrong(FakeRunner):
        """Knows not how many pieces it makes."""

        def _pieces(self, its: Ripe) -> Pieces | None:
            pieces = super()._pieces(its)
            return pieces and Pieces(0 if its.payload == "pieces 1" else pieces.count + 1, pieces.work)

    async def test(dispatcher: Dispatcher, _runner: FakeRunner) -> None:
        replies = await asyncio.gather(*(dispatcher.run(job(each)) for each in ("pieces 2", "a", "pieces 1")))
        assert [outcome for outcome, _ in replies] == [Outcome.FAILED, Outcome.ANSWERED, Outcome.FAILED]

    dispatched(test, Wrong())
    assert "an answer could not be made" in caplog.text
    assert "wanted at least 1 piece, got 0" in caplog.text


def test_an_answer_that_nobody_waited_for_to_its_end_is_refused_at_once_the_next_time(
    slow_pieces: SlowPieces,
) -> None:
    async def test(dispatcher: Dispatcher, runner: FakeRunner) -> None:
        runner.release.set()
        late = await dispatcher.run(job("pieces 1000", patience_s=0.2, now_s=slow_pieces.now_s))
        assert late == (Outcome.EXPIRED, None)
        await dispatcher.call(lambda: None)
        with pytest.raises(RefusedError, match="deadline"):
            await dispatcher.run(job("pieces 1000", patience_s=0.5, now_s=slow_pieces.now_s))

    dispatched(test, slow_pieces)
