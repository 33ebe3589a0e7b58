"""How much memory the bodies of all requests, and of long answers, may take together."""

from typing import Self

from mcdrop_service.errors import QueueFullError

__all__ = ["Account", "MemoryBudget"]


class MemoryBudget:
    """A number of bytes that all requests share.

    Args:
        max_bytes: Of all bodies that are being read or worked on.
    """

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.taken_bytes = 0

    def account(self) -> "Account":
        """For one request."""
        return Account(self)


class Account:
    """What one request takes; given back at the end of its `with`, however that ends.

    Args:
        budget: Where it takes from.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.taken_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._budget.taken_bytes -= self.taken_bytes

    def handed_over(self) -> "Account":
        """Another one with all that this one has taken."""
        other = Account(self._budget)
        other.taken_bytes, self.taken_bytes = self.taken_bytes, 0
        return other

    def take(self, size_bytes: int) -> None:
        """Take some more.

        Args:
            size_bytes: How much.

        Raises:
            QueueFullError: If there is not as much left.
        """
        if self._budget.taken_bytes + size_bytes > self._budget.max_bytes:
            raise QueueFullError(
                "too many bytes of requests and answers are being worked on", retry_after_s=1
            )
        self._budget.taken_bytes += size_bytes
        self.taken_bytes += size_bytes
