"""Answers as JSON: each number is the shortest decimal that reads back to the same value in its dtype."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import orjson

from mcdrop_service.errors import ModelFaultError
from mcdrop_service.facts import Array, PredictionAnswer

__all__ = [
    "encode_answer",
    "encode_document",
    "encode_error",
    "encode_with_arrays",
    "for_json",
    "sample_count",
]

LONG: Final = 2**15
"""Numbers that are written at once."""
SHORT: Final = 2**15
"""Bytes that are searched faster than the arrays that they were made of."""


def encode_answer(answer: PredictionAnswer) -> bytes:
    """The answer of `POST /v1/models/{name}/predict`.

    Args:
        answer: Outputs as arrays in their own dtype; any layout in memory.

    Returns:
        UTF-8 JSON.

    Raises:
        ModelFaultError: If a number is not finite: JSON has no way to say it.
    """
    document = {
        "model": answer.facts.name,
        "version": answer.facts.version,
        "digest": answer.facts.digest,
        "fingerprint": answer.facts.fingerprint,
        **sample_count(answer),
        "seed": answer.seed,
        "notes": list(answer.notes),
        "outputs": {name: for_json(array) for name, array in answer.outputs.items()},
    }
    return encode_with_arrays(document, answer.outputs)


def sample_count(answer: PredictionAnswer) -> dict[str, object]:
    """What a request says to get so many samples again."""
    if answer.tolerance is None:
        return {"n_samples": answer.n_samples}
    return {"n_samples": "auto", "tolerance": answer.tolerance, "max_samples": answer.n_samples}


def encode_with_arrays(document: Mapping[str, object], arrays: Mapping[str, Array]) -> bytes:
    """The JSON of a document that holds arrays.

    Args:
        document: What `for_json` makes of the arrays, and plain JSON.
        arrays: Those that it holds, by name.

    Returns:
        UTF-8 JSON.

    Raises:
        ModelFaultError: If a number is not finite.
    """
    # orjson writes NumPy's floats as the shortest decimals of their own width: 0.1 stays 0.1 in float32
    text = orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)
    # what is not finite it writes as null
    if len(text) > SHORT or b"null" in text:
        for name, array in arrays.items():
            _check_finite(name, array)
    return text


def for_json(array: Array) -> Array | orjson.Fragment:
    """An array in row-major order; one that is long is written already, piece by piece.

    One call of the encoder holds the interpreter for as long as its array is, and every other thread with it.

    Args:
        array: In any layout.
    """
    ordered = np.ascontiguousarray(array)
    return ordered if array.size <= LONG else orjson.Fragment(_in_pieces(ordered))


def _check_finite(name: str, array: Array) -> None:
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        strange = int(array.size - np.isfinite(array).sum())
        raise ModelFaultError(f"the model's {name} is not finite in {strange} of {array.size} numbers")


def _in_pieces(array: Array) -> bytes:
    if array.size <= LONG:
        return orjson.dumps(array, option=orjson.OPT_SERIALIZE_NUMPY)
    step = len(array) * LONG // array.size
    if step == 0:
        return b"[%b]" % b",".join(map(_in_pieces, array))
    parts = (_in_pieces(array[start : start + step])[1:-1] for start in range(0, len(array), step))
    return b"[%b]" % b",".join(parts)


def encode_document(document: Mapping[str, object] | Sequence[object]) -> bytes:
    """Plain JSON, for everything that is not a prediction.

    Args:
        document: Strings, numbers, lists and mappings.

    Returns:
        UTF-8 JSON.
    """
    return orjson.dumps(document)


def encode_error(message: str) -> bytes:
    """The body of every refusal.

    Args:
        message: What was wanted and what came.

    Returns:
        `{"error": message}` as UTF-8 JSON.
    """
    # a message can repeat a piece of a path with bytes that are not UTF-8: never fail on it
    return orjson.dumps({"error": message.encode("utf-8", "backslashreplace").decode("utf-8")})
