"""The jobs of one key that wait for a batch."""

from collections.abc import Hashable, Sequence
from typing import Any

from mcdrop_service.scheduler.fair_order import FairOrder
from mcdrop_service.scheduler.work import Answers, Job, More, Pieces, Unit

__all__ = ["Line", "Place"]


class Place:
    """A live job: what it has under way, and how far that has come.

    A job that grows goes in rounds: all units of a round are done before the next one is known. The pieces of
    an answer are the last round.

    Attributes:
        ticket: Its ticket.
        job: The job.
        key: Of the line that it waits in: the job's, until its answer is made.
        capacity: Units that fit a batch of this key.
        pieces: Of its answer that were not handed out yet, also while it is not being made.
        making: Whether its answer is being made.
        blocks: Blocks that the rows which go on have taken, those under way included.
        waiting: Units of the round that were not handed out yet.
        taken: Units of all rounds so far, without pieces.
        missing: Units of the round whose result is not known.
        results: Of the round, in the order in which the units are handed out.
        carried: What the worker carried along when the job last grew.
    """

    def __init__(self, ticket: int, job: Job) -> None:
        self.ticket = ticket
        self.job = job
        self.key, self.capacity, self.pieces = job.key, job.capacity, job.pieces
        self.making = False
        self._payload = job.payload
        self.blocks = 0
        self.waiting = 0
        self._begin(range(job.rows), job.blocks if job.first_blocks is None else job.first_blocks)
        self.taken = self.missing
        self.carried: Any = None

    @property
    def reserved(self) -> int:
        """Units that were not handed out yet, with those that the job can still grow by."""
        return self.outlook(self.job.blocks) if self.job.grows else self.waiting

    @property
    def lot(self) -> Hashable | None:
        """What the next unit must have in common with its mates; None if nothing."""
        if self.job.lot is None:
            return None
        return self.job.lot, self._first_block + self._handed_out // len(self._rows)

    def outlook(self, blocks: int) -> int:
        """Units that are not handed out yet if every row that goes on takes so many blocks in all."""
        return self.waiting + len(self._rows) * max(min(blocks, self.job.blocks) - self.blocks, 0)

    def hand_out(self, most: int) -> list[Unit]:
        """The next units, all rows of a block before the next block; with a lot, of one block only."""
        first, rows = self._handed_out, len(self._rows)
        alike = self.waiting if self.job.lot is None else rows - first % rows
        units: list[Unit] = []
        for place in range(first, first + min(most, alike)):
            row, block = self._rows[place % rows], self._first_block + place // rows
            units.append(Unit(self.ticket, self._payload, row, block, place))
        self.waiting -= len(units)
        if self.making:
            self.pieces = self.waiting
        return units

    def take_in(self, unit: Unit, result: Any) -> None:
        """The result of one unit."""
        self.results[unit.place] = result
        self.missing -= 1

    def grow(self, more: More) -> None:
        """Begin another round.

        Raises:
            ValueError: If it is none, or would take more blocks than the job may.
        """
        if not more.rows or not 1 <= more.blocks <= self.job.blocks - self.blocks:
            raise ValueError(
                f"wanted rows and 1 to {self.job.blocks - self.blocks} blocks, got {len(more.rows)} rows and "
                f"{more.blocks} blocks"
            )
        self.carried = more.carried
        self._begin(more.rows, more.blocks)
        self.taken += self.missing

    def make(self, pieces: Pieces) -> None:
        """Begin the last round: the pieces of the answer.

        Raises:
            ValueError: If there are none.
        """
        if pieces.count < 1:
            raise ValueError(f"wanted at least 1 piece, got {pieces.count}")
        self.key, self.capacity, self.pieces = Answers(self.job.key), 1, pieces.count
        self.making = True
        self._payload, self.blocks = pieces.work, self.job.blocks
        self._begin(range(pieces.count), 1)

    @property
    def _handed_out(self) -> int:
        return len(self.results) - self.waiting

    def _begin(self, rows: Sequence[int], blocks: int) -> None:
        self._rows, self._first_block = rows, self.blocks
        self.blocks += blocks
        self.missing = len(rows) * blocks
        self.waiting = self.missing
        self.results: list[Any] = [None] * self.missing


class Line:
    """The jobs of one key, in the order in which they are worked off.

    Args:
        capacity: Units that fit a batch.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.places: FairOrder[Place] = FairOrder()

    def add(self, place: Place) -> None:
        """Let a job wait for its turn."""
        self.places.add(place, place.waiting)

    def take(self) -> tuple[Unit, ...]:
        """Units for one batch, of the jobs that come first; a job with nothing left leaves the line."""
        units: list[Unit] = []
        done: list[Place] = []
        lot = self.places.first.lot
        for place in self.places:
            if place.lot == lot:
                units += place.hand_out(self.capacity - len(units))
            if not place.waiting:
                done.append(place)
            if len(units) == self.capacity:
                break
        self.places.serve(len(units), done)
        return tuple(units)
