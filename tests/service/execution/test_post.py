"""Calls into the event loop from other threads, in either kind of loop."""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from functools import partial
from operator import itemgetter
from pathlib import Path

import pytest
import uvloop
from mcdrop_service.execution.post import Post

RUN = pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
Run = Callable[[Awaitable[object]], object]


@RUN
def test_calls_of_many_threads_are_all_made_in_the_loop_and_in_order_of_each(run: Run) -> None:
    async def main() -> None:
        made: list[tuple[int, int, int]] = []
        post = Post(asyncio.get_running_loop())

        def note(sender: int, number: int) -> None:
            made.append((sender, number, threading.get_ident()))

        def send(sender: int) -> None:
            for number in range(500):
                post.send(partial(note, sender, number))

        await asyncio.gather(*(asyncio.to_thread(send, sender) for sender in range(4)))
        while len(made) < 4 * 500:
            await asyncio.sleep(0)
        post.close()
        here = threading.get_ident()
        assert sorted(made, key=itemgetter(0)) == [(its, n, here) for its in range(4) for n in range(500)]

    run(main())


@RUN
def test_a_loop_that_is_busy_finds_every_call_later(run: Run) -> None:
    """More calls than a pipe can hold bytes."""

    async def main() -> None:
        made: list[int] = []
        post = Post(asyncio.get_running_loop())
        for number in range(100_000):
            post.send(partial(made.append, number))
        while len(made) < 100_000:
            await asyncio.sleep(0)
        post.close()

    run(main())


@RUN
def test_what_was_sent_before_the_end_is_done_and_nothing_stays_open(run: Run) -> None:
    async def main() -> None:
        before = set(Path("/proc/self/fd").iterdir())
        made: list[int] = []
        post = Post(asyncio.get_running_loop())
        post.send(partial(made.append, 1))
        post.close()
        assert made == [1]
        assert set(Path("/proc/self/fd").iterdir()) <= before  # garbage of other tests may go meanwhile

    run(main())
