"""The plain data that goes in and out of the scheduler.

Nothing here is changed once it is made. What is made for every request is not frozen all the same: a frozen
one takes seven times as long to make.
"""

from collections.abc import Hashable
from dataclasses import dataclass
from enum import Enum
from typing import Any

__all__ = ["Answers", "Batch", "Job", "More", "Outcome", "Pieces", "Ripe", "Settled", "Unit"]


@dataclass(slots=True)
class Job:
    """One request, as the scheduler sees it.

    Attributes:
        key: Only jobs of one key can share a batch: the model and the signature of its input.
        rows: N.
        blocks: Blocks of 16 samples for each row; where the job grows, the most that a row can take.
        capacity: Units that fit a batch of this key.
        size_bytes: Memory that is held for it.
        deadline_s: Point in time at which the answer is worth nothing any more.
        payload: What the worker needs; never looked into.
        lot: None if units of any seed and block may share a batch. Else the seed: a batch then holds units of
            one lot and one block only.
        first_blocks: Blocks that every row takes before the worker is asked whether it wants more; None if it
            is never asked, and every row takes all.
        pieces: In which its answer will be made; 0 if it is made at once, with those of others.
        kind: Of the pieces: those of one key and kind are forecast alike.
    """

    key: Hashable
    rows: int
    blocks: int
    capacity: int
    size_bytes: int
    deadline_s: float
    payload: Any
    lot: Hashable | None = None
    first_blocks: int | None = None
    pieces: int = 0
    kind: Hashable = None

    @property
    def units(self) -> int:
        """Its cost: rows times blocks; where the job grows, the most that it can come to."""
        return self.rows * self.blocks

    @property
    def grows(self) -> bool:
        """Whether the worker says how many blocks a row takes."""
        return self.first_blocks is not None


@dataclass(slots=True)
class Unit:
    """One row times one block of samples.

    Attributes:
        ticket: Of the job that it belongs to.
        payload: Of that job.
        row: Between 0 and N - 1.
        block: Index of the block of 16 samples.
        place: Its number among the units that the job has under way.
    """

    ticket: int
    payload: Any
    row: int
    block: int
    place: int


@dataclass(frozen=True)
class Answers:
    """The key of what is left to make of answers: each piece is a unit, and runs alone.

    Attributes:
        key: Of the jobs that are answered.
    """

    key: Hashable


@dataclass(slots=True)
class Batch:
    """Units that run together.

    Attributes:
        key: Of all of them.
        units: At most as many as fit; of an answer one piece.
        started_s: When it was handed out.
        kind: Of the piece, if it is one.
    """

    key: Hashable
    units: tuple[Unit, ...]
    started_s: float
    kind: Hashable = None


class Outcome(Enum):
    """How an accepted job ended: each ends in exactly one of these ways."""

    ANSWERED = "answered"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    FAILED = "failed"

    # members are singletons: Enum's own hash is that of the name, by way of a Python function
    __hash__ = object.__hash__


@dataclass(slots=True)
class Ripe:
    """A job of which every unit so far is done, and which waits to be answered or to grow.

    Attributes:
        ticket: Its ticket.
        payload: Its payload.
        results: One for each unit since it was last ripe, all rows of a block before the next block.
        carried: What the worker carried along when the job last grew; None at first.
    """

    ticket: int
    payload: Any
    results: list[Any]
    carried: Any = None


@dataclass(frozen=True)
class More:
    """What a job that grows wants before it can be answered.

    Attributes:
        rows: Those that go on, in order; only rows that have taken every block so far.
        blocks: How many more blocks each of them takes.
        carried: Given back when they are done; never looked into.
    """

    rows: tuple[int, ...]
    blocks: int
    carried: Any = None


@dataclass(frozen=True)
class Pieces:
    """An answer that is made a piece at a time, so that others have their turn between two pieces.

    Attributes:
        count: How many pieces.
        work: Handed out with each of them as its payload; never looked into.
    """

    count: int
    work: Any


@dataclass(slots=True)
class Settled:
    """A job that ended.

    Attributes:
        ticket: Its ticket.
        outcome: How.
        answer: What the worker gave with it; never looked into.
    """

    ticket: int
    outcome: Outcome
    answer: Any = None
