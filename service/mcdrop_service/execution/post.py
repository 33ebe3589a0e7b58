"""Calls into the event loop from another thread."""

import asyncio
import os
from collections import deque
from collections.abc import Callable

__all__ = ["Post"]

MOST_BYTES = 4096


class Post:
    """As `call_soon_threadsafe`, but lets the interpreter go while it wakes the loop.

    uvloop holds on to it: where both threads share a core the loop wakes at once, finds that it must wait for
    the interpreter, and sleeps again. A thread that writes to a pipe lets it go, and the loop works at once.
    That is for who has nothing more to do: on a busy core it may be long until the interpreter is had again.

    Args:
        loop: Is running.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._calls: deque[Callable[[], object]] = deque()
        self._reads, self._writes = os.pipe()
        os.set_blocking(self._reads, False)
        os.set_blocking(self._writes, False)
        loop.add_reader(self._reads, self._deliver)

    def send(self, call: Callable[[], object]) -> None:
        """Make a call in the event loop, from any thread, before it is closed.

        Args:
            call: Must not raise.
        """
        self._calls.append(call)
        try:
            os.write(self._writes, b"\0")
        except BlockingIOError:
            return  # a pipe that is full has woken the loop

    def close(self) -> None:
        """Make what calls there still are, and no more. In the event loop only."""
        self._loop.remove_reader(self._reads)
        self._make_calls()
        os.close(self._reads)
        os.close(self._writes)

    def _deliver(self) -> None:
        os.read(self._reads, MOST_BYTES)
        self._make_calls()

    def _make_calls(self) -> None:
        while self._calls:
            self._calls.popleft()()
