"""Answers as JSON: each number is the shortest decimal that reads back to the same value in its dtype."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
import orjson

from mcdrop_service.errors import ModelFaultError
from mcdrop_service.facts import Array, PredictionAnswer

__all__ = ["encode_answer", "encode_document", "encode_error", "finite", "sample_count"]

LONG: Final = 2**15
"""Numbers that are written at once."""


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
        "outputs": {name: finite(name, array) for name, array in answer.outputs.items()},
    }
    # orjson writes NumPy's floats as the shortest decimals of their own width: 0.1 stays 0.1 in float32
    return orjson.dumps(document, option=orjson.OPT_SERIALIZE_NUMPY)


def sample_count(answer: PredictionAnswer) -> dict[str, object]:
    """What a request says to get so many samples again."""
    if answer.tolerance is None:
        return {"n_samples": answer.n_samples}
    return {"n_samples": "auto", "tolerance": answer.tolerance, "max_samples": answer.n_samples}


def finite(name: str, array: Array) -> Array | orjson.Fragment:
    """An array as JSON can hold it; one that is long is written already, piece by piece.

    One call of the encoder holds the interpreter for as long as its array is, and every other thread with it.

    Args:
        name: Of the output.
        array: In any layout.

    Returns:
        The same in row-major order, or its JSON.

    Raises:
        ModelFaultError: If a number is not finite.
    """
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        strange = int(array.size - np.isfinite(array).sum())
        raise ModelFaultError(f"the model's {name} is not finite in {strange} of {array.size} numbers")
    ordered = np.ascontiguousarray(array)
    return ordered if array.size <= LONG else orjson.Fragment(_in_pieces(ordered))


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
