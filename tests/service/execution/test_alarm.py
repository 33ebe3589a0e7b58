"""One timer for many points in time."""

import asyncio
import math
import time

from mcdrop_service.execution.alarm import Alarm

from tests.support.wire import PATIENCE_S


def rung(*due_s: float, again_s: tuple[float, ...] = ()) -> list[float]:
    """For when an alarm rang that was set for these, and told to ring again for those; seconds from now."""

    async def main() -> list[float]:
        times: list[float] = []
        ended = asyncio.Event()
        began_s = time.monotonic()
        again = iter([began_s + each for each in again_s])

        def ring(due_s: float) -> float:
            times.append(round(due_s - began_s, 6))
            next_s = next(again, math.inf)
            if math.isinf(next_s):
                ended.set()
            return next_s

        alarm = Alarm(ring)
        for each in due_s:
            alarm.set(began_s + each)
        await ended.wait()
        return times

    return asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_it_rings_once_for_the_earliest() -> None:
    assert rung(0.02, 30.0, 0.01, 0.015) == [0.01]


def test_it_rings_again_when_it_is_told_to() -> None:
    assert rung(0.01, again_s=(0.02, 0.02)) == [0.01, 0.02, 0.02]


def test_what_is_past_rings_at_once() -> None:
    assert rung(30.0, -1.0) == [-1.0]
