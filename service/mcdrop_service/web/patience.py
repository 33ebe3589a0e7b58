"""Time limits that are all equally long: one timer for all of them, since the oldest is always the next."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import cast

__all__ = ["Patience"]


class Patience:
    """As `asyncio.timeout`, for limits of one length.

    Args:
        seconds: Of each limit.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[asyncio.Task[object], float] = {}
        self._late: set[asyncio.Task[object]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_awake(self) -> bool:
        """Whether a timer runs."""
        return self._timer is not None

    @contextmanager
    def limit(self) -> Iterator[None]:
        """The task that is running may take so long inside.

        Raises:
            TimeoutError: If it took longer; what it was waiting for is cancelled.
        """
        task = cast("asyncio.Task[object]", asyncio.current_task())
        loop = asyncio.get_running_loop()
        self._running[task] = loop.time() + self._seconds
        self._timer = self._timer or loop.call_later(self._seconds, self._look)
        try:
            yield
        except asyncio.CancelledError:
            if task in self._late and task.uncancel() == 0:
                raise TimeoutError from None
            raise
        finally:
            self._running.pop(task, None)
            self._late.discard(task)

    def _look(self) -> None:
        """Cancel who is late, and look again when the next one would be; sleep when there is none."""
        loop = asyncio.get_running_loop()
        for task, due_s in list(self._running.items()):
            if due_s > loop.time():
                self._timer = loop.call_at(due_s, self._look)
                return
            del self._running[task]
            self._late.add(task)
            task.cancel()
        self._timer = None
