"""What the OpenAPI document says about each route: the bodies are read raw, so it is written here by hand."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.responses import Response

__all__ = ["HEALTH", "MODEL", "MODELS", "PREDICT", "READY"]

Schema = dict[str, Any]
TEXT: Final[Schema] = {"type": "string"}
NUMBERS: Final[Schema] = {"type": "array", "items": {}, "description": "nested lists of numbers"}
TEXTS: Final[Schema] = {"type": "array", "items": TEXT}

REQUEST: Final[Schema] = {
    "type": "object",
    "required": ["inputs"],
    "additionalProperties": False,
    "properties": {
        "inputs": {
            "description": "N rows as nested lists; for a model with several inputs an object by input name",
            "anyOf": [{**NUMBERS, "minItems": 1}, {"type": "object", "additionalProperties": NUMBERS}],
        },
        "n_samples": {
            "type": "integer",
            "minimum": 2,
            "description": "stochastic passes; the model's own by default",
        },
        "seed": {
            "type": "integer",
            "minimum": 0,
            "maximum": 2**63 - 1,
            "description": "replays an answer to the last bit",
        },
        "outputs": {
            **TEXTS,
            "minItems": 1,
            "uniqueItems": True,
            "description": "names from the model's `outputs`",
        },
        "quantiles": {
            "type": "array",
            "minItems": 1,
            "items": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
            "description": "levels, both ends excluded",
        },
    },
    "example": {
        "inputs": [[0.1, 0.2]],
        "n_samples": 64,
        "seed": 7,
        "outputs": ["mean", "std"],
        "quantiles": [0.05, 0.95],
    },
}

ANSWER: Final[Schema] = {
    "type": "object",
    "required": ["model", "version", "digest", "fingerprint", "n_samples", "seed", "outputs"],
    "properties": {
        "model": TEXT,
        "version": TEXT,
        "digest": {**TEXT, "description": "sha256 of the checkpoint's manifest"},
        "fingerprint": {**TEXT, "description": "equal fingerprints give equal bits"},
        "n_samples": {"type": "integer"},
        "seed": {"type": "integer"},
        "outputs": {
            "type": "object",
            "additionalProperties": NUMBERS,
            "description": "one array per output, N rows each",
        },
    },
}

ERROR: Final[Schema] = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}


def _json(description: str, schema: Schema) -> Schema:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "required": list(properties), "properties": properties}


def _route(summary: str, ok: Schema, refusals: Mapping[int, str] = MappingProxyType({})) -> Schema:
    """Keyword arguments of a FastAPI route."""
    responses: dict[int | str, Schema] = {200: _json("Success", ok)}
    responses |= {status: _json(when, ERROR) for status, when in refusals.items()}
    # a `default` keeps FastAPI from adding its own 422, which this service never sends
    responses["default"] = _json("Any other refusal", ERROR)
    return {"summary": summary, "response_model": None, "response_class": Response, "responses": responses}


HEALTH: Final = _route("Does the process live?", _object(live={"type": "boolean"}))
READY: Final = _route("Can it answer?", _object(ready={"type": "boolean"}, state=TEXT))
MODELS: Final = _route("Which models are there?", _object(models=TEXTS))
MODEL: Final = _route(
    "What does a model take and give?",
    {"type": "object"},
    {
        404: "no such model",
        503: "still starting",
    },
)
PREDICT: Final = _route(
    "Predict with uncertainty",
    ANSWER,
    {
        400: "the request is not what was wanted",
        404: "no such model",
        408: "the body came too slowly",
        413: "over a limit",
        415: "not plain JSON",
        429: "too much is queued; see Retry-After",
        500: "the model failed",
        503: "starting or stopping",
        504: "not ready before the deadline",
    },
)
PREDICT["openapi_extra"] = {
    "requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST}}}
}
