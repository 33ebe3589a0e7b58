"""Deficit round robin: everyone gets the same share of what is given out, whatever the size of what they ask.

Source:
    Shreedhar and Varghese 1995, "Efficient fair queuing using deficit round robin".
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Rotation"]

T = TypeVar("T", bound=Hashable)


class Rotation(Generic[T]):
    """Members that take turns.

    Args:
        quantum: What a member may spend per round.
    """

    def __init__(self, quantum: float) -> None:
        self._quantum = quantum
        self._deficits: OrderedDict[T, float] = OrderedDict()

    def add(self, member: T) -> None:
        """Let a member take part, at the end of the round."""
        self._deficits.setdefault(member, self._quantum)

    def remove(self, member: T) -> None:
        """Let a member take part no more; what it had saved is lost."""
        del self._deficits[member]

    def turn(self, cost: Callable[[T], float]) -> T:
        """The member whose turn it is; it is charged for it.

        Args:
            cost: What a turn costs a member; at least 0.

        Returns:
            A member that can afford it. It stays first until it has spent its share.
        """
        while True:
            member, deficit = next(iter(self._deficits.items()))
            if deficit >= (price := cost(member)):
                self._deficits[member] = deficit - price
                return member
            self._deficits[member] = deficit + self._quantum
            self._deficits.move_to_end(member)
