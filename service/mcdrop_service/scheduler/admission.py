"""Whether a job is taken on: bounds on what waits, and a forecast of how long it would take."""

import math
from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum

__all__ = ["Forecast", "QueueLimits", "Refusal", "RefusedError"]

WEIGHT_OF_LATEST = 0.2
MOST_KEYS = 1024


@dataclass(frozen=True)
class QueueLimits:
    """What may wait at once.

    Attributes:
        max_units: Units that were not handed out yet.
        max_bytes: Memory of all live jobs.
    """

    max_units: int
    max_bytes: int


class Refusal(Enum):
    """Why a job was turned away."""

    QUEUE_FULL = "queue_full"
    MEMORY = "memory"
    DEADLINE = "deadline"


class RefusedError(Exception):
    """A job was turned away, and not accepted.

    Args:
        refusal: Why.
        retry_after_s: After how long asking again makes sense.
    """

    def __init__(self, refusal: Refusal, retry_after_s: float) -> None:
        super().__init__(f"{refusal.value}, retry after {retry_after_s:.3f} s")
        self.refusal = refusal
        self.retry_after_s = retry_after_s


class Forecast:
    """How long a batch takes, by key: an exponentially weighted mean of what was seen.

    The keys that were measured last are remembered; there can be any number of input lengths.
    """

    def __init__(self) -> None:
        self._seconds: dict[Hashable, float] = {}

    def learn(self, key: Hashable, seconds: float) -> None:
        """Take a measurement in."""
        before = self._seconds.pop(key, seconds)
        self._seconds[key] = before + WEIGHT_OF_LATEST * (seconds - before)
        if len(self._seconds) > MOST_KEYS:
            del self._seconds[next(iter(self._seconds))]

    def batch_s(self, key: Hashable) -> float:
        """Seconds for one batch; 0 while nothing is known."""
        return self._seconds.get(key, 0.0)

    def units_s(self, key: Hashable, units: int, capacity: int) -> float:
        """Seconds for some units in full batches."""
        return math.ceil(units / capacity) * self.batch_s(key)
