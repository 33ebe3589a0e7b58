"""One timer for many points in time: most are still far away when what they are for is over."""

import asyncio
import math
import time
from collections.abc import Callable

__all__ = ["Alarm"]


class Alarm:
    """Rings when the earliest of some points in time has come. Used in the event loop only.

    Args:
        ring: Called with the time for which the alarm was set; gives when to ring next, infinity for never.
    """

    def __init__(self, ring: Callable[[float], float]) -> None:
        self._ring = ring
        self._due_s = math.inf
        self._timer: asyncio.TimerHandle | None = None

    def set(self, due_s: float) -> None:
        """Ring at a point in time, unless the alarm is set for an earlier one.

        Args:
            due_s: In `time.monotonic` seconds.
        """
        if due_s >= self._due_s:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._due_s = due_s
        self._timer = asyncio.get_running_loop().call_later(due_s - time.monotonic(), self._rings)

    def _rings(self) -> None:
        due_s, self._due_s, self._timer = self._due_s, math.inf, None
        self.set(self._ring(due_s))
