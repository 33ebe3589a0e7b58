"""Who comes first where work of unlike size waits: nobody is done later than if all shared equally.

Equal shares let all jobs of a full queue come to their ends together, which is late for all. Here the shares
are only reckoned: V is what everyone who waits would have been given so far, a job of s units that comes at V
would be done when V reaches its mark V + s, and the jobs are worked off by their marks, one after the other.
A job of one block comes before one that still wants 63, and jobs of equal size are done in order of arrival.

Source:
    Friedman and Henderson 2003, "Fairness and efficiency in web server protocols" (fair sojourn protocol).
"""

from bisect import bisect_left, bisect_right, insort
from collections.abc import Hashable, Iterator, Sequence
from typing import Generic, TypeVar

__all__ = ["FairOrder"]

T = TypeVar("T", bound=Hashable)


class FairOrder(Generic[T]):
    """Members by the time at which equal shares would have served them."""

    def __init__(self) -> None:
        self._share = 0.0
        self._arrivals = 0
        self._marks: dict[T, tuple[float, int]] = {}
        self._members: dict[tuple[float, int], T] = {}
        self._order: list[tuple[float, int]] = []
        # of those that equal shares would not have served yet, also if they are done
        self._sharing: list[tuple[float, int]] = []

    def __len__(self) -> int:
        return len(self._order)

    def __iter__(self) -> Iterator[T]:
        return map(self._members.__getitem__, self._order)

    @property
    def first(self) -> T:
        """The member that comes first."""
        return self._members[self._order[0]]

    def rank(self, units: int) -> int:
        """How many would be before a new member.

        Args:
            units: That it would wait for.
        """
        return bisect_right(self._order, (self._share + units, self._arrivals))

    def add(self, member: T, units: int) -> None:
        """Let a member wait, which does not yet.

        Args:
            member: Whom.
            units: That it waits for.
        """
        mark = (self._share + units, self._arrivals)
        self._arrivals += 1
        self._marks[member], self._members[mark] = mark, member
        insort(self._order, mark)
        insort(self._sharing, mark)

    def leave(self, member: T) -> None:
        """A member gives up what it waits for; it takes no share any more."""
        mark = self._remove(member)
        if self._sharing[(at := bisect_left(self._sharing, mark)) : at + 1] == [mark]:
            del self._sharing[at]

    def serve(self, units: int, done: Sequence[T]) -> None:
        """So many units were given out.

        Args:
            units: To anyone.
            done: Members that wait for nothing any more.
        """
        for member in done:
            self._remove(member)
        left = float(units)
        while self._sharing:
            step = (self._sharing[0][0] - self._share) * len(self._sharing)
            if step > left:
                self._share += left / len(self._sharing)
                return
            left -= step
            self._share = self._sharing.pop(0)[0]

    def _remove(self, member: T) -> tuple[float, int]:
        mark = self._marks.pop(member)
        del self._members[mark]
        del self._order[bisect_left(self._order, mark)]
        return mark
