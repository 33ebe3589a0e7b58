"""The jobs of one key that wait for a batch."""

from collections.abc import Hashable
from typing import Any

from mcdrop_service.scheduler.rotation import Rotation
from mcdrop_service.scheduler.work import Job, Unit

__all__ = ["Line", "Place"]

QUANTUM_UNITS = 2


class Place:
    """A live job: how far it has come.

    Attributes:
        ticket: Its ticket.
        job: The job.
        handed_out: Units that were given to a batch.
        missing: Units whose result is not known.
        results: By index of the unit.
    """

    def __init__(self, ticket: int, job: Job) -> None:
        self.ticket = ticket
        self.job = job
        self.handed_out = 0
        self.missing = job.units
        self.results: list[Any] = [None] * job.units

    @property
    def waiting(self) -> int:
        """Units that were not handed out yet."""
        return self.job.units - self.handed_out

    @property
    def lot(self) -> Hashable | None:
        """What the next unit must have in common with its mates; None if nothing."""
        return None if self.job.lot is None else (self.job.lot, self.handed_out // self.job.rows)

    def hand_out(self) -> Unit:
        """The next unit: all rows of a block before the next block."""
        block, row = divmod(self.handed_out, self.job.rows)
        self.handed_out += 1
        return Unit(self.ticket, self.job.payload, row, block)

    def take_in(self, unit: Unit, result: Any) -> None:
        """The result of one unit."""
        self.results[unit.block * self.job.rows + unit.row] = result
        self.missing -= 1


class Line:
    """Deficit round robin over the jobs of one key.

    Args:
        capacity: Units that fit a batch.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.places: Rotation[Place] = Rotation(QUANTUM_UNITS)

    def take(self) -> tuple[Unit, ...]:
        """Units for one batch, from as many jobs as it takes; a job with nothing left leaves the line."""
        units: list[Unit] = []
        passed = 0
        lot = self.places.first(_one).lot
        # twice round: a job that had spent its share comes up at the second time
        while len(units) < self.capacity and passed < 2 * len(self.places):
            place = self.places.first(_one)
            if place.lot != lot:
                self.places.pass_over(place)
                passed += 1
                continue
            units.append(self._unit_of(place))
            passed = 0
        return tuple(units)

    def _unit_of(self, place: Place) -> Unit:
        unit = place.hand_out()
        if place.waiting:
            self.places.spend(place, 1)
        else:
            self.places.remove(place)
        return unit


def _one(_place: Place) -> float:
    return 1
