"""From lists or bytes to an array, without guessing: rectangular, numbers only, finite, the right shape.

Each level of the nesting is unpacked at once by built-ins that run at C speed.
"""

import math
from collections.abc import Mapping, Sequence
from functools import cache
from itertools import chain
from typing import Final

import numpy as np
import orjson

from mcdrop_service.errors import BadRequestError
from mcdrop_service.facts import Array, InputFacts
from mcdrop_service.parsing.long_numbers import LongNumbers, NotRectangularError

__all__ = ["array_from_bytes", "array_from_nested", "array_from_values"]

MAX_DEPTH = 16
KINDS = {bool: "true or false", str: "a string", type(None): "null", dict: "an object", list: "a list"}

# by kind of the wanted dtype: which of JSON's values will do, what to call them, and the widest dtype
LEAVES: Final[Mapping[str, tuple[set[type], str, str]]] = {
    "f": ({int, float}, "numbers", "float64"),
    "i": ({int}, "whole numbers", "int64"),
    "u": ({int}, "whole numbers", "uint64"),
    "b": ({bool}, "true and false", "bool"),
}


def array_from_nested(value: object, wanted: InputFacts) -> Array:
    """The array that a nested list holds.

    Args:
        value: N rows as nested lists of numbers, as JSON gives them.
        wanted: Name, dtype and row shape that the model takes.

    Returns:
        (N, *wanted.shape) array in `wanted.dtype`, finite.

    Raises:
        BadRequestError: If it is ragged, holds something other than finite numbers, has no rows, or
            another shape than was wanted.
    """
    if isinstance(value, LongNumbers):
        shape = _shape_of(value, wanted)
        _check_shape(shape, wanted)
        return _read_in_pieces(value, shape, wanted)
    shape, leaves = _unnested(value, wanted)
    _check_shape(shape, wanted, leaves)
    _check_kinds(leaves, shape, wanted)
    return _numbers(leaves, wanted).reshape(shape)


def array_from_values(value: object, shape: tuple[int, ...], wanted: InputFacts) -> Array:
    """The array of a declared shape that a list holds, nested or flat.

    Args:
        value: As many numbers as the shape has, in row-major order.
        shape: What the client says that it is.
        wanted: Name, dtype and row shape that the model takes.

    Returns:
        (N, *wanted.shape) array in `wanted.dtype`, finite.

    Raises:
        BadRequestError: As `array_from_nested`, or if shape and values do not fit.
    """
    leaves: list[object] = []
    if isinstance(value, LongNumbers):
        came = _shape_of(value, wanted)
    else:
        came, leaves = _unnested(value, wanted)
    if came not in (shape, (math.prod(shape),)):
        raise BadRequestError(
            f"data of {wanted.name} must be nested as its shape {list(shape)[:MAX_DEPTH]} says or flat, "
            f"got {list(came)}"
        )
    _check_shape(shape, wanted)
    if isinstance(value, LongNumbers):
        return _read_in_pieces(value, shape, wanted)
    _check_kinds(leaves, shape, wanted)
    return _numbers(leaves, wanted).reshape(shape)


def array_from_bytes(data: memoryview, shape: tuple[int, ...], wanted: InputFacts) -> Array:
    """The array that raw little-endian bytes hold in row-major order.

    Args:
        data: Exactly as many bytes as the shape needs.
        shape: What the client says that it is.
        wanted: Name, dtype and row shape that the model takes.

    Returns:
        (N, *wanted.shape) array in `wanted.dtype`, finite.

    Raises:
        BadRequestError: If it has another shape than was wanted, or a number is not finite.
    """
    _check_shape(shape, wanted)
    dtype = np.dtype(wanted.dtype)
    if dtype.kind == "b":
        bits = np.frombuffer(data, np.uint8)
        if (bits > 1).any():
            raise BadRequestError(f"{wanted.name} must hold bytes 0 and 1 only")
        return bits.astype(bool).reshape(shape)
    # a copy in native order: the body can then be forgotten, and its alignment does not matter
    array: Array = np.frombuffer(data, dtype.newbyteorder("<")).astype(dtype).reshape(shape)
    if dtype.kind == "f" and not np.isfinite(array).all():
        raise BadRequestError(f"{wanted.name} must hold finite numbers only, got NaN or infinity")
    return array


def _shape_of(numbers: LongNumbers, wanted: InputFacts) -> tuple[int, ...]:
    try:
        return numbers.shape(MAX_DEPTH)
    except NotRectangularError as error:
        raise BadRequestError(f"{wanted.name} must be {_layout(wanted)}, got {error}") from None


def _read_in_pieces(numbers: LongNumbers, shape: tuple[int, ...], wanted: InputFacts) -> Array:
    """The array of a text, which lets other threads run between two pieces."""
    parts: list[Array] = []
    first, size = 0, math.prod(shape)
    try:
        for leaves in numbers.pieces():
            _check_kinds(leaves, shape, wanted, first, size)
            parts.append(_numbers(leaves, wanted))
            first += len(leaves)
    except orjson.JSONDecodeError:
        raise BadRequestError(
            f"the numbers of {wanted.name} are not JSON after the first {first}, or beside an empty list"
        ) from None
    if first != size:
        raise BadRequestError(f"{wanted.name} must be {_layout(wanted)}, got an empty list beside others")
    return np.concatenate(parts).reshape(shape)


def _unnested(value: object, wanted: InputFacts) -> tuple[tuple[int, ...], list[object]]:
    """Shape and leaves of a nested list, in row-major order."""
    shape: list[int] = []
    level: list[object] = [value]
    while level and isinstance(level[0], list):
        if len(shape) == MAX_DEPTH:
            raise BadRequestError(
                f"{wanted.name} must be {_layout(wanted)}, got lists nested over {MAX_DEPTH} deep"
            )
        if len(level) == 1:  # as in the request of one row: nothing to compare, nothing to join
            level = level[0]
            shape.append(len(level))
        else:
            shape.append(_common_length(level, len(shape), wanted))
            level = list(chain.from_iterable(level))  # type: ignore[arg-type]
    return tuple(shape), level


def _common_length(level: list[object], depth: int, wanted: InputFacts) -> int:
    if set(map(type, level)) != {list}:
        raise BadRequestError(
            f"{wanted.name} is ragged: lists and single values stand side by side at depth {depth}"
        )
    lengths = set(map(len, level))  # type: ignore[arg-type]
    if len(lengths) > 1:
        found = f"lengths {min(lengths)} to {max(lengths)}"
        raise BadRequestError(
            f"{wanted.name} is ragged: wanted {_layout(wanted)}, got lists of {found} at depth {depth}"
        )
    return lengths.pop()


def _layout(wanted: InputFacts) -> str:
    dims = ("N", *("any" if size == -1 else str(size) for size in wanted.shape))
    return f"({', '.join(dims)}{',' if len(dims) == 1 else ''})"


def _check_shape(shape: tuple[int, ...], wanted: InputFacts, leaves: Sequence[object] = ()) -> None:
    if shape and shape[0] == 0:
        raise BadRequestError(f"{wanted.name} must hold at least one row, got none")
    row = shape[1:]
    fits = bool(shape) and len(row) == len(wanted.shape) and 0 not in row
    if fits and row != wanted.shape:
        fits = all(want in (-1, size) for size, want in zip(row, wanted.shape, strict=True))
    if not fits:
        raise BadRequestError(f"{wanted.name} must be {_layout(wanted)}, got {_what_came(shape, leaves)}")


def _what_came(shape: tuple[int, ...], leaves: Sequence[object]) -> str:
    if not shape:
        return "no list"
    if leaves and isinstance(leaves[0], dict):
        return "objects: give the numbers of a row in a list"
    return f"shape {shape}"


def _check_kinds(
    leaves: list[object], shape: tuple[int, ...], wanted: InputFacts, first: int = 0, size: int | None = None
) -> None:
    """Leaves number `first` and following of `size`."""
    allowed, wants, _ = LEAVES[np.dtype(wanted.dtype).kind]
    if allowed.issuperset(map(type, leaves)):
        return
    place = next(i for i, leaf in enumerate(leaves) if type(leaf) not in allowed)
    came = KINDS.get(type(leaves[place]), f"the number {leaves[place]}")
    row = (first + place) * shape[0] // (size or len(leaves))
    raise BadRequestError(f"{wanted.name} must hold {wants} only, got {came} in row {row}")


def _numbers(leaves: list[object], wanted: InputFacts) -> Array:
    dtype = np.dtype(wanted.dtype)
    try:
        values: Array = np.array(leaves, dtype=LEAVES[dtype.kind][2])
    except OverflowError:
        raise _does_not_fit(wanted) from None
    low, high = _ends(wanted.dtype)
    # on few numbers quicker than the reductions of ufuncs; NaN is found by both, and so refused
    if leaves and not (values[values.argmin()] >= low and values[values.argmax()] <= high):
        raise _does_not_fit(wanted)
    return values.astype(dtype)


@cache
def _ends(name: str) -> tuple[float, float]:
    """The least and the greatest number that fit a dtype, in the widest dtype of its kind."""
    dtype = np.dtype(name)
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind != "f":
        return np.iinfo(dtype).min, np.iinfo(dtype).max
    greatest = np.finfo(dtype).max
    half_step = (float(greatest) - float(np.nextafter(greatest, dtype.type(0)))) / 2
    # what is nearer to the greatest number than half a step is rounded to it, and the half itself to infinity
    high = math.nextafter(float(greatest) + half_step, 0)
    return -high, high


def _does_not_fit(wanted: InputFacts) -> BadRequestError:
    return BadRequestError(f"{wanted.name} holds a number that does not fit {wanted.dtype}")
