"""Answers that are made a piece at a time, so that others have their turn between two pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Pieces"]


@dataclass(frozen=True, slots=True)
class Pieces:
    """An answer under way.

    Attributes:
        work: Gives behind each piece the share of the answer that is made, below 1, and at last the answer.
        share: That is made already.
    """

    work: Iterator[Any]
    share: float = 0.0
