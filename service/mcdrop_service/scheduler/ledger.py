"""The books: every accepted job ends in exactly one way."""

from collections import Counter

from mcdrop_service.scheduler.work import Outcome

__all__ = ["Ledger"]


class Ledger:
    """How many jobs were accepted, and how they ended.

    At any time `accepted == answered + cancelled + expired + failed + those that are still live`.

    Attributes:
        accepted: Jobs that were taken on.
        ended: How many ended in which way.
        refused: How many were turned away, by the reason's value.
    """

    def __init__(self) -> None:
        self.accepted = 0
        self.ended: Counter[Outcome] = Counter()
        self.refused: Counter[str] = Counter()

    @property
    def live(self) -> int:
        """Jobs that were accepted and have not ended."""
        return self.accepted - self.ended.total()
