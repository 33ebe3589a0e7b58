"""JSON without its loose ends: one value per key, finite numbers, whole text.

Python's reader takes `NaN`, lets the last of two equal keys win and makes infinity of `1e999`. In a file that
says what a model is, each of these is damage or a trick, so it is refused.
"""

import json
import math
from typing import NoReturn

__all__ = ["parse_strict_json"]


def parse_strict_json(text: bytes) -> object:
    """The value that the JSON text stands for.

    Args:
        text: UTF-8.

    Raises:
        ValueError: If it is not JSON, names a key twice, is nested too deeply, or holds a number that is not
            finite or half a character.
    """
    try:
        value: object = json.loads(
            text.decode("utf-8"),
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
        # A lone surrogate ("\ud800") is legal in JSON, but is no text and cannot be written again.
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    return value


def _unique_keys(pairs: list[tuple[str, object]]) -> dict[str, object]:
    result = dict(pairs)
    if len(result) < len(pairs):
        keys = [key for key, _ in pairs]
        repeated = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {repeated!r} appears twice")
    return result


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:32]} is too large")
    return value
