"""From the bytes of an answer to what they mean: documents, refusals, predictives."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

from mcdrop.predictive import Predictive, restored
from mcdrop_service.client.description import ModelDescription
from mcdrop_service.client.errors import (
    REFUSALS,
    ClientError,
    ClientTimeoutError,
    ConnectionFailedError,
    RefusedError,
    UnreadableAnswerError,
)
from mcdrop_service.client.wire import Failure, HttpAnswer, Reply
from mcdrop_service.facts import DATATYPES

__all__ = ["document_of", "error_of", "inference_of", "predictive_of"]

_DTYPES: Final = {datatype: np.dtype(name).newbyteorder("<") for name, datatype in DATATYPES.items()}
_MALFORMED: Final = (AttributeError, KeyError, TypeError, ValueError)
_RENAMED: Final = {"quantiles": "level_values", "samples_taken": "taken"}
_SHOWN: Final = 200

Inference = tuple[dict[str, Any], dict[str, Tensor]]
"""The JSON part of an answer, and its tensors by name."""


def error_of(reply: Reply | None, timeout_s: float) -> ClientError | None:
    """What is wrong with a reply; None for an answer of status 200.

    Args:
        reply: Of the network.
        timeout_s: The client's own limit, to be named.
    """
    if isinstance(reply, Failure):
        if reply.timed_out:
            return ClientTimeoutError(f"no answer within {timeout_s:g} s ({reply.reason})")
        return ConnectionFailedError(reply.reason)
    if reply is None or reply.status == 200:
        return None
    return REFUSALS.get(reply.status, RefusedError)(
        _message(reply),
        status=reply.status,
        request_id=reply.headers.get("x-request-id"),
        retry_after_s=_seconds(reply.headers.get("retry-after")),
    )


def document_of(answer: HttpAnswer) -> Any:
    """The JSON of an answer.

    Raises:
        UnreadableAnswerError: If it is none.
    """
    return _json(answer.content)


def inference_of(answer: HttpAnswer) -> Inference:
    """The two parts of an answer of the Open Inference Protocol.

    Raises:
        UnreadableAnswerError: If it is something else.
    """
    try:
        length = int(answer.headers["inference-header-content-length"])
        document = _json(answer.content[:length])
        return document, dict(_tensors(document["outputs"], memoryview(answer.content)[length:]))
    except _MALFORMED as error:
        raise UnreadableAnswerError(
            f"the answer is not as a service of mcdrop sends it ({error!r})"
        ) from error


def predictive_of(
    inference: Inference,
    model: ModelDescription,
    levels: tuple[float, ...],
    request_id: str | None,
) -> Predictive:
    """The predictive of an answer.

    Args:
        inference: Of the model.
        model: As it describes itself.
        levels: Of the quantiles that it holds.
        request_id: Of the service's log.

    Raises:
        UnreadableAnswerError: If parts of it are missing.
    """
    document, tensors = inference
    parts = {_RENAMED.get(name, name): tensor for name, tensor in tensors.items()}
    kept = {"kept_samples", "level_values", "taken", "converged", *model.document["fields"]}
    try:
        facts = {
            **model.facts(),
            "levels": levels,
            "sampled": _sampled(document["parameters"], model.document["sampling"]),
            "notes": tuple(filter(None, document["parameters"].get("notes", "").split("\n"))),
            "origin": _origin(document, request_id),
        }
        return restored({name: tensor for name, tensor in parts.items() if name in kept}, facts)
    except _MALFORMED as error:
        raise UnreadableAnswerError(
            f"the answer does not make a predictive ({error!r}): is the service of the same version of "
            "mcdrop as this client?"
        ) from error


def _sampled(parameters: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    auto = parameters["n_samples"] == "auto"
    return {
        "n_samples": parameters["max_samples" if auto else "n_samples"],
        "seed": parameters["seed"],
        "masks": sampling["masks"],
        "rng": sampling["rng"],
        "exact": True,
        "tolerance": parameters["tolerance"] if auto else None,
    }


def _origin(document: Mapping[str, Any], request_id: str | None) -> dict[str, Any]:
    parameters = document["parameters"]
    return {
        "model": document["model_name"],
        "version": document["model_version"],
        "digest": parameters["model_digest"],
        "fingerprint": parameters["fingerprint"],
        "batch_invariance": parameters["batch_invariance"],
        "request_id": request_id,
    }


def _tensors(outputs: list[Mapping[str, Any]], rest: memoryview) -> Iterator[tuple[str, Tensor]]:
    start = 0
    for each in outputs:
        size, dtype = each["parameters"]["binary_data_size"], _DTYPES[each["datatype"]]
        array = np.frombuffer(rest[start : start + size], dtype).reshape(each["shape"])
        start += size
        yield each["name"], torch.from_numpy(array.astype(dtype.newbyteorder("=")))
    if start != len(rest):
        raise ValueError(f"{len(rest)} bytes of tensors, wanted {start}")


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        came = content[:_SHOWN].decode("utf-8", "backslashreplace")
        raise UnreadableAnswerError(f"wanted JSON, as a service of mcdrop sends it, got {came!r}") from error


def _message(answer: HttpAnswer) -> str:
    """The service's words; a proxy in between may use others."""
    try:
        return str(json.loads(answer.content)["error"])
    except _MALFORMED:
        return answer.content[:_SHOWN].decode("utf-8", "backslashreplace") or "no reason was given"


def _seconds(text: str | None) -> float | None:
    """Of a `Retry-After`; a date, which this service never sends, counts as nothing."""
    return float(text) if text is not None and text.isascii() and text.isdigit() else None
