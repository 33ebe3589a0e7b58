"""When what waits would be done if a newcomer were taken on: it must be in time, and make nobody late.

Each key works its jobs off in order, and the keys share the worker's time equally. Nothing is reckoned for
jobs that are still to come: each of them is checked against those that are in by then.
"""

from collections.abc import Hashable, Mapping, Sequence
from itertools import accumulate

from mcdrop_service.scheduler.admission import Forecast
from mcdrop_service.scheduler.line import Line
from mcdrop_service.scheduler.work import Answers, Job

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
            key: [
                (
                    forecast.units_left(place),
                    forecast.pieces_s(place.job, place.pieces) if place.pieces else 0.0,  # most have none
                    place.job.deadline_s,
                )
                for place in line.places
            ]
            for key, line in lines.items()
        }
        self._key, self._units = newcomer.key, forecast.job_units(newcomer)
        self._pieces_s = forecast.pieces_s(newcomer, newcomer.pieces)
        self._answers = Answers(newcomer.key) if newcomer.pieces else None
        wants = ((newcomer.key, self._units), (self._answers, newcomer.pieces))
        self._ranks = {key: lines[key].places.rank(units) for key, units in wants if key in lines}
        totals = {newcomer.key: (0, 0.0), **{key: _total(queue) for key, queue in self._queues.items()}}
        self._before_s = {key: self._seconds(key, *total) for key, total in totals.items()}
        units, pieces_s = totals[newcomer.key]
        batches_s = self._seconds(newcomer.key, units + self._units, pieces_s)
        self._after_s = {**self._before_s, newcomer.key: batches_s + self._pieces_s}
        self._beside_answers_s = {**self._before_s, newcomer.key: batches_s}

    @property
    def alone_s(self) -> float:
        """Seconds that the newcomer would take if nothing else waited."""
        return self._seconds(self._key, self._units, self._pieces_s)

    @property
    def newcomer_s(self) -> float:
        """Seconds until the newcomer would be done; 0 while no batch was ever timed."""
        units, pieces_s = _total(self._ahead(self._key))
        own_s = self._seconds(self._key, units + self._units, pieces_s + self._pieces_s)
        if self._answers is not None and (ahead := self._ahead(self._answers)):
            own_s += self._seconds(self._answers, *_total(ahead))
        return self._shared_s(own_s, self._before_s, self._key, self._answers)

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
            first, all_s, more, more_s = self._ranks.get(key, 0), self._after_s, 0, 0.0
            if key == self._key:
                more, more_s = self._units, self._pieces_s
            elif key == self._answers:
                all_s, more_s = self._beside_answers_s, self._pieces_s
            units = list(accumulate(units for units, _, _ in queue))[first:]
            pieces_s = list(accumulate(pieces_s for _, pieces_s, _ in queue))[first:]
            for unit, piece_s, (_, _, deadline_s) in zip(units, pieces_s, queue[first:], strict=True):
                before_s = self._shared_s(self._seconds(key, unit, piece_s), self._before_s, key)
                own_s = self._seconds(key, unit + more, piece_s + more_s)
                done_s = self._shared_s(own_s, all_s, key)
                if now_s + (1 + SLACK) * done_s >= deadline_s > now_s + before_s:
                    return done_s
        return None

    def _ahead(self, key: Hashable) -> list[tuple[int, float, float]]:
        """Of a line what comes before the newcomer."""
        return self._queues.get(key, [])[: self._ranks.get(key, 0)]

    def _shared_s(self, own_s: float, all_s: Mapping[Hashable, float], *keys: Hashable) -> float:
        """Seconds for what takes so long alone, beside all that the other keys want."""
        return own_s + sum(min(own_s, other_s) for other, other_s in all_s.items() if other not in keys)

    def _seconds(self, key: Hashable, units: int, pieces_s: float) -> float:
        return self._forecast.units_s(key, units, self._capacities[key]) + pieces_s


def _total(queue: Sequence[tuple[int, float, float]]) -> tuple[int, float]:
    """Units of all of them, and seconds for their pieces."""
    return sum(units for units, _, _ in queue), sum(pieces_s for _, pieces_s, _ in queue)
