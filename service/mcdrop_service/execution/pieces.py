"""Answers that are made a piece at a time, so that others have their turn between two pieces."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Pieces"]


@dataclass(frozen=True, slots=True)
class Pieces:
    """An answer under way.

    Attributes:
        work: Gives None behind each piece, and at last the answer.
    """

    work: Iterator[Any]
