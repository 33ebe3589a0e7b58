"""Answers of the Open Inference Protocol: JSON, with binary tensor data behind it where that was asked."""

from typing import Final

import numpy as np

from mcdrop_service.encoding.answer import encode_with_arrays, for_json, sample_count
from mcdrop_service.errors import BadRequestError
from mcdrop_service.facts import DATATYPES, Array, InferenceRequest, PredictionAnswer

__all__ = ["encode_inference"]

NOT_IN_JSON: Final = "float16"
NOTES_APART: Final = "\n"
"""Parameters are single texts, and a note is one line."""


def encode_inference(answer: PredictionAnswer, asked: InferenceRequest) -> tuple[bytes, int | None]:
    """The answer of `POST /v2/models/{name}/infer`.

    Args:
        answer: Outputs as arrays in their own dtype; any layout in memory.
        asked: How it is to be answered.

    Returns:
        The body, and the length of its JSON part; None if there is nothing else.

    Raises:
        ModelFaultError: If a number that JSON would have to say is not finite.
        BadRequestError: If an output has a datatype that JSON has no way to say.
    """
    raw = [_raw(array) for name, array in answer.outputs.items() if name in asked.binary]
    written = {name: array for name, array in answer.outputs.items() if name not in asked.binary}
    facts = answer.facts
    parameters = {
        **sample_count(answer),
        "seed": answer.seed,
        "model_digest": facts.digest,
        "fingerprint": facts.fingerprint,
        "batch_invariance": facts.batch_invariance,
        **({"notes": NOTES_APART.join(answer.notes)} if answer.notes else {}),
    }
    document = {
        "model_name": facts.name,
        "model_version": facts.version,
        **({} if asked.id is None else {"id": asked.id}),
        "parameters": parameters,
        "outputs": [
            _output(name, array, binary=name in asked.binary) for name, array in answer.outputs.items()
        ],
    }
    text = encode_with_arrays(document, written)
    return b"".join((text, *raw)), len(text) if raw else None


def _output(name: str, array: Array, *, binary: bool) -> dict[str, object]:
    dtype = array.dtype.name
    described: dict[str, object] = {
        "name": name,
        "datatype": DATATYPES[dtype],
        "shape": list(array.shape),
    }
    if binary:
        return {**described, "parameters": {"binary_data_size": array.nbytes}}
    if dtype == NOT_IN_JSON:
        raise BadRequestError(f"{name} is FP16, which is sent as binary data only; ask for binary_data")
    return {**described, "data": for_json(array.ravel())}


def _raw(array: Array) -> bytes:
    return np.ascontiguousarray(array, array.dtype.newbyteorder("<")).tobytes()
