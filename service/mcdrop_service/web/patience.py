"""Time limits that are all equally long: one timer for all of them, since the oldest is always the next."""

import asyncio
from typing import Any, cast

__all__ = ["Patience"]


class Patience:
    """As `asyncio.timeout`, for limits of one length.

    Args:
        seconds: Of each limit.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._running: dict[asyncio.Task[Any], float] = {}
        self._late: set[asyncio.Task[Any]] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_awake(self) -> bool:
        """Whether a timer runs."""
        return self._timer is not None

    def limit(self) -> "Limit":
        """Of what the task that is running does inside of its `with`."""
        return Limit(self)

    def begin(self, task: asyncio.Task[Any]) -> None:
        """Count the time of a task from now on.

        Args:
            task: Is running.
        """
        loop = asyncio.get_running_loop()
        self._running[task] = loop.time() + self._seconds
        self._timer = self._timer or loop.call_later(self._seconds, self._look)

    def end(self, task: asyncio.Task[Any]) -> bool:
        """Whether a task was late, and cancelled for that; its time is counted no more.

        Args:
            task: Has begun.
        """
        if self._running.pop(task, None) is not None:
            return False
        self._late.discard(task)
        return True

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


class Limit:
    """What is done inside of its `with` may take so long.

    Args:
        patience: Counts the time.

    Raises:
        TimeoutError: If it took longer; what it was waiting for is cancelled.
    """

    def __init__(self, patience: Patience) -> None:
        self._patience = patience

    def __enter__(self) -> None:
        self._task = cast("asyncio.Task[Any]", asyncio.current_task())
        self._patience.begin(self._task)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        late = self._patience.end(self._task)
        if late and kind is asyncio.CancelledError and self._task.uncancel() == 0:
            raise TimeoutError from None
