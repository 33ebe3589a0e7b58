"""Three times as much as can be done is offered: what is taken on is answered, and no time is wasted."""

from collections import deque
from collections.abc import Hashable
from dataclasses import replace

import pytest
from mcdrop_service.scheduler import Job, Outcome, Scheduler

from tests.service.scheduler.jobs import CAPACITY, WIDE, FakeWorker, job

SECONDS = 10.0
DEADLINE_S = 1.0
BATCH_S = 0.001
ANSWER_S = 0.0002
UNIT_S = BATCH_S / CAPACITY + ANSWER_S
"""What one unit costs: of a batch, and of the answer."""


def offered(rows: int, blocks: int, load: float, key: Hashable = "model") -> list[tuple[float, Job]]:
    """The same job at fixed intervals, which alone keep the worker busy for so much of the time."""
    every_s = rows * blocks * UNIT_S / load
    times = [index * every_s for index in range(int(SECONDS / every_s))]
    return [
        (at_s, job(rows, blocks, key=key, deadline_s=at_s + DEADLINE_S, size_bytes=0, payload=blocks))
        for at_s in times
    ]


def served(*offers: list[tuple[float, Job]]) -> FakeWorker:
    """A worker after it was offered all of them."""
    together = deque(sorted((offer for each in offers for offer in each), key=lambda offer: offer[0]))
    worker = FakeWorker(Scheduler(WIDE), batch_s=BATCH_S, answer_s=ANSWER_S, offers=together)
    worker.serve()
    return worker


def goodput(worker: FakeWorker) -> float:
    """Share of the time that went into answers."""
    return sum(len(results) for results in worker.answers.values()) * UNIT_S / worker.now_s


def answered(worker: FakeWorker) -> float:
    """Share of what was taken on."""
    ended = worker.scheduler.ledger.ended
    return ended[Outcome.ANSWERED] / worker.scheduler.ledger.accepted


@pytest.mark.parametrize("blocks", [2, 30, 60])
def test_equal_jobs(blocks: int) -> None:
    worker = served(offered(4, blocks, 3.0))
    assert goodput(worker) > 0.95
    assert answered(worker) == 1


def test_small_jobs_beside_large_ones_are_all_taken_on() -> None:
    worker = served(offered(1, 2, 0.3), offered(4, 63, 2.7))
    assert goodput(worker) > 0.9
    assert answered(worker) > 0.99
    assert {wanted.blocks for wanted in worker.refused} == {63}


@pytest.mark.parametrize("blocks", [2, 30])
def test_several_keys(blocks: int) -> None:
    worker = served(offered(4, blocks, 1.5, "a"), offered(4, 30, 1.5, "b"))
    assert goodput(worker) > 0.9
    assert answered(worker) > 0.98


def test_jobs_that_cannot_share_batches() -> None:
    """Most of every batch is empty, and this is reckoned with."""
    apart = [(at_s, replace(wanted, lot=index)) for index, (at_s, wanted) in enumerate(offered(1, 30, 1.0))]
    worker = served(apart)
    assert {len(batch.units) for batch in worker.batches} == {1}
    assert answered(worker) > 0.98


def test_below_the_capacity_nobody_is_turned_away() -> None:
    worker = served(offered(4, 10, 0.9))
    assert not worker.refused
    assert answered(worker) == 1
