"""How much memory the bodies of all requests may take together."""

from collections.abc import Iterator
from contextlib import contextmanager

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

    @contextmanager
    def account(self) -> Iterator["Account"]:
        """What one request takes; given back at the end, however it ends."""
        account = Account(self)
        try:
            yield account
        finally:
            self.taken_bytes -= account.taken_bytes


class Account:
    """What one request has taken.

    Args:
        budget: Where it takes from.
    """

    def __init__(self, budget: MemoryBudget) -> None:
        self._budget = budget
        self.taken_bytes = 0

    def take(self, size_bytes: int) -> None:
        """Take some more.

        Args:
            size_bytes: How much.

        Raises:
            QueueFullError: If there is not as much left.
        """
        if self._budget.taken_bytes + size_bytes > self._budget.max_bytes:
            raise QueueFullError("too many bytes of requests are being worked on", retry_after_s=1)
        self._budget.taken_bytes += size_bytes
        self.taken_bytes += size_bytes
