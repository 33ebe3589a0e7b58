"""When what waits would be done if a newcomer were taken on: it must be in time, and make nobody late.

Each key works its jobs off in order, and the keys share the worker's time equally. Nothing is reckoned for
jobs that are still to come: each of them is checked against those that are in by then.
"""

from collections.abc import Hashable, Mapping
from itertools import accumulate

from mcdrop_service.scheduler.admission import Forecast
from mcdrop_service.scheduler.line import Line
from mcdrop_service.scheduler.work import Job

__all__ = ["Outlook"]

CAUTION = 1.0
"""By how much more of others a newcomer must expect than waits: as many small jobs may yet step in front."""
SLACK = 0.1
"""By how much longer a job that was taken on may take than is known, and still must be in time."""


class Outlook:
    """What waits, and a newcomer to it.

    Args:
        forecast: What batches take.
        lines: What waits of each key, in order.
        newcomer: In no line yet.
    """

    def __init__(self, forecast: Forecast, lines: Mapping[Hashable, Line], newcomer: Job) -> None:
        self._forecast = forecast
        self._capacities = {key: line.capacity for key, line in lines.items()}
        self._capacities[newcomer.key] = newcomer.capacity
        self._queues = {
            key: [(forecast.units_left(place), place.job.deadline_s) for place in line.places]
            for key, line in lines.items()
        }
        self._key, self._units = newcomer.key, forecast.job_units(newcomer)
        line = lines.get(newcomer.key)
        self._rank = line.places.rank(self._units) if line else 0
        self._totals = {key: sum(units for units, _ in queue) for key, queue in self._queues.items()}

    @property
    def alone_s(self) -> float:
        """Seconds that the newcomer would take if nothing else waited."""
        return self._seconds(self._key, self._units)

    @property
    def newcomer_s(self) -> float:
        """Seconds until the newcomer would be done; 0 while no batch was ever timed."""
        ahead = sum(units for units, _ in self._queues.get(self._key, [])[: self._rank])
        return self._done_s(self._key, ahead + self._units, 0)

    @property
    def cautious_s(self) -> float:
        """The same if the work of others came to more than is known of it."""
        return self.alone_s + (1 + CAUTION) * (self.newcomer_s - self.alone_s)

    def harmed_s(self, now_s: float) -> float | None:
        """Seconds until a job would be done that is in time without the newcomer only; None if there is none.

        Args:
            now_s: When the worker is free.
        """
        for key, queue in self._queues.items():
            first, extra = (self._rank, self._units) if key == self._key else (0, 0)
            ends = list(accumulate(units for units, _ in queue))
            for end, (_, deadline_s) in zip(ends[first:], queue[first:], strict=True):
                done_s = self._done_s(key, end + extra, self._units)
                if now_s + (1 + SLACK) * done_s >= deadline_s > now_s + self._done_s(key, end, 0):
                    return done_s
        return None

    def _done_s(self, key: Hashable, units: int, added: int) -> float:
        """Seconds until so many units of a key are done, if the newcomer's key holds some more."""
        own_s = self._seconds(key, units)
        others = (
            self._seconds(other, total + (added if other == self._key else 0))
            for other, total in {self._key: 0, **self._totals}.items()
            if other != key
        )
        return own_s + sum(min(own_s, other_s) for other_s in others)

    def _seconds(self, key: Hashable, units: int) -> float:
        return self._forecast.units_s(key, units, self._capacities[key])
