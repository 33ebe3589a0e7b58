"""Long arrays of numbers in JSON, read in pieces.

One call of a JSON parser holds the interpreter for as long as its text is: a body of 12 MB stops every other
thread, and with them the event loop, for a tenth of a second. So a body that is long is first cut: arrays
of numbers are taken out of it, whatever their nesting, and what is left is parsed with a number in the place
of each. The arrays are read later, in pieces of a few milliseconds, as strictly as the rest: the brackets
must be those of a rectangle, and the text of every piece must be JSON.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import count, pairwise
from typing import Final

import numpy as np
import orjson

__all__ = ["LongNumbers", "NotRectangularError", "strangers", "without_long_numbers"]

LONG: Final = 2**16
"""Characters from which an array is read in pieces, and about as many are in a piece."""

_STRIDE: Final = 2**20
_BLANKS: Final = b" \t\r\n"
_DIGITS: Final = b"0123456789+-.eE" + _BLANKS
_MARKS: Final = b"[],"
_OF_NUMBERS: Final = np.zeros(256, dtype=bool)
_OF_NUMBERS[list(_DIGITS + _MARKS)] = True
_RAGGED: Final = "lists of different lengths, or beside single values"
_NO_BRACKETS: Final = bytes.maketrans(b"[]", b"  ")


class NotRectangularError(ValueError):
    """An array has no shape; the message says what came instead of one."""


@dataclass(frozen=True)
class LongNumbers:
    """The text of an array that was not read yet.

    Attributes:
        text: From its first bracket to its last.
    """

    text: bytes

    def __repr__(self) -> str:
        return "[...]"

    def shape(self, max_depth: int) -> tuple[int, ...]:
        """Of the array.

        Args:
            max_depth: Most axes that it may have.

        Raises:
            NotRectangularError: If it has none, or more axes.
        """
        marks = b"".join(piece.translate(None, _DIGITS) for piece in _strides(self.text))
        depth = len(marks) - len(marks.lstrip(b"["))
        if depth > max_depth:
            raise NotRectangularError(f"lists nested over {max_depth} deep")
        lengths: list[int] = []
        unit, end = b"", 0
        for level in range(depth):
            start = depth - level
            end = marks.find(b"]" * (level + 1), max(end, start))
            length, rest = divmod(end + level - start + 1, len(unit) + 1)
            if end < 0 or rest:
                raise NotRectangularError(_RAGGED)
            unit = b"[" + b",".join([unit] * length) + b"]"
            lengths.append(length)
        if unit != marks:
            raise NotRectangularError(_RAGGED)
        if lengths[:1] == [1] and self._is_empty():
            lengths[0] = 0  # a list without a comma has one number or none
        return tuple(reversed(lengths))

    def pieces(self) -> Iterator[list[object]]:
        """The numbers in row-major order, some at a time.

        Raises:
            orjson.JSONDecodeError: If a piece is not numbers with commas between.
        """
        start = 0
        while start < len(self.text):
            stop = self.text.find(b",", start + LONG)
            stop = len(self.text) if stop < 0 else stop
            yield orjson.loads(b"[%b]" % self.text[start:stop].translate(_NO_BRACKETS))
            start = stop + 1

    def _is_empty(self) -> bool:
        return not any(piece.translate(None, _BLANKS + _MARKS) for piece in _strides(self.text))


def strangers(body: bytes) -> int:
    """How many characters are in no array of numbers.

    Args:
        body: Any bytes.
    """
    return sum(int(np.count_nonzero(~_OF_NUMBERS[piece])) for _, piece in _bytes(body))


def without_long_numbers(body: bytes) -> tuple[bytes, Mapping[int, LongNumbers]]:
    """A body with a number in the place of each long array, and the arrays by these numbers.

    Args:
        body: Any bytes. What looks like an array can be in a string as well, and its number then is.
    """
    spans = list(_long_arrays(body))
    kept = [body[end:start] for (_, end), (start, _) in pairwise([(0, 0), *spans, (len(body), 0)])]
    outside = b" ".join(kept)
    free = (number for number in count(10**17) if str(number).encode() not in outside)
    taken = {number: LongNumbers(body[start:end]) for number, (start, end) in zip(free, spans, strict=False)}
    parts = [
        part for pair in zip(kept, map(str, taken), strict=False) for part in (pair[0], pair[1].encode())
    ]
    return b"".join([*parts, kept[-1]]), taken


def _long_arrays(body: bytes) -> Iterator[tuple[int, int]]:
    """Where long arrays begin and end: between two characters that are in no array of numbers."""
    others = [start + np.flatnonzero(~_OF_NUMBERS[piece]) for start, piece in _bytes(body)]
    edges = np.concatenate([[-1], *others, [len(body)]])
    for index in np.flatnonzero(np.diff(edges) > LONG):
        start = body.find(b"[", int(edges[index]) + 1, int(edges[index + 1]))
        end = body.rfind(b"]", int(edges[index]) + 1, int(edges[index + 1])) + 1
        if 0 <= start < end - LONG:
            yield start, end


def _bytes(body: bytes) -> Iterator[tuple[int, np.ndarray[tuple[int], np.dtype[np.uint8]]]]:
    whole = np.frombuffer(body, np.uint8)
    for start in range(0, len(body), _STRIDE):
        yield start, whole[start : start + _STRIDE]


def _strides(text: bytes) -> Iterator[bytes]:
    for start in range(0, len(text), _STRIDE):
        yield text[start : start + _STRIDE]
