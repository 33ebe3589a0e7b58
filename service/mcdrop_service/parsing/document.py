"""From bytes to a JSON object, strictly: no NaN, no key twice, nothing after the end."""

import json
from collections.abc import Iterable, Mapping
from typing import Final

import orjson

from mcdrop_service.errors import BadRequestError, TooLargeError, shown
from mcdrop_service.parsing.long_numbers import LONG, LongNumbers, strangers, without_long_numbers

__all__ = ["decode_object"]


MOST_TEXT: Final = 2**20
"""Characters of a body beside its long arrays of numbers: these are read in pieces, the rest is not."""

TOO_LONG: Final = (
    f"a body may hold {MOST_TEXT} characters of JSON beside its long arrays of numbers, got more; "
    "values that are no numbers can be sent as binary data of the Open Inference Protocol"
)
STRAY: Final = "a long array of numbers stands where none is wanted"


def decode_object(body: bytes) -> dict[str, object]:
    """The JSON object that a body holds.

    Args:
        body: UTF-8 text of one JSON object.

    Returns:
        The object, with Python's own numbers, strings, lists and dictionaries; in the place of a long array
        of numbers `LongNumbers`, whose text was not looked at yet.

    Raises:
        BadRequestError: If it is not JSON (NaN, Infinity and 1e400 are not), not an object, nested
            too deeply, or has a key twice.
        TooLargeError: If what is no long array of numbers is longer than `MOST_TEXT`.
    """
    return _parsed(body) if len(body) <= LONG else _parsed_around(body)


def _parsed_around(body: bytes) -> dict[str, object]:
    """A long body: short objects and texts would take many times their length in memory, and much time."""
    if strangers(body) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    text, taken = without_long_numbers(body)
    if len(text) > MOST_TEXT:
        raise TooLargeError(TOO_LONG)
    fault = STRAY
    try:
        document = _parsed(text)
        if _put_back(document, taken) == len(taken):
            return document
    except BadRequestError as error:
        fault = f"{error.message} (null, NaN and text end an array of numbers)"
    if len(body) > MOST_TEXT:
        raise BadRequestError(fault)
    return _parsed(body)


def _put_back(value: object, taken: Mapping[int, LongNumbers]) -> int:
    """Put arrays where numbers stand for them, in places where a request can have some; gives how many."""
    found = 0
    for inner in _objects(value):
        for key, number in inner.items():
            if type(number) is int and number in taken:
                inner[key] = taken[number]
                found += 1
            else:
                found += _put_back(number, taken)
    return found


def _parsed(body: bytes) -> dict[str, object]:
    try:
        document = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise BadRequestError(f"the body must be one JSON object, got something else: {error}") from None
    if not isinstance(document, dict):
        raise BadRequestError(f"the body must be a JSON object, got {_kind(document)}")
    colons = body.count(b":")
    if colons != len(document) and colons != _pairs(document):
        _refuse_repeated_keys(body)
    return document


def _kind(document: object) -> str:
    names = {list: "an array", str: "a string", bool: "true or false", type(None): "null"}
    return names.get(type(document), "a number")


def _pairs(document: dict[str, object]) -> int:
    """Keys in an object and the objects in it: as many as colons, unless a key or a string holds one."""
    pairs = len(document)
    for value in document.values():
        for inner in _objects(value):
            pairs += _pairs(inner)
    return pairs


def _objects(value: object) -> list[dict[str, object]]:
    """The objects in a value; of a list only if it begins with one, since lists of numbers can be long."""
    if isinstance(value, dict):
        return [value]
    listed = isinstance(value, list) and value and isinstance(value[0], dict)
    return [inner for inner in value if isinstance(inner, dict)] if listed else []  # type: ignore[attr-defined]


def _refuse_repeated_keys(body: bytes) -> None:
    """Read again with the slower parser that shows every pair: orjson keeps the last of equal keys."""
    try:
        json.loads(body, object_pairs_hook=_unrepeated)
    except RecursionError:
        raise BadRequestError("the body is nested too deeply") from None


def _unrepeated(pairs: Iterable[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise BadRequestError(f"the key {shown(key)} comes twice in one object")
        found[key] = value
    return found
