"""What the OpenAPI document says about each route: the bodies are read raw, so it is written here by hand."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from starlette.responses import Response

__all__ = [
    "ERROR",
    "HEALTH",
    "METRICS",
    "MODEL",
    "MODELS",
    "NUMBERS",
    "PREDICT",
    "READY",
    "REFUSALS",
    "TEXT",
    "TEXTS",
    "json_answer",
    "json_body",
    "object_of",
    "route",
]

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
            "description": "N rows as nested lists, or an object with such rows by input name",
            "anyOf": [{**NUMBERS, "minItems": 1}, {"type": "object", "additionalProperties": NUMBERS}],
        },
        "n_samples": {
            "anyOf": [{"type": "integer", "minimum": 2}, {"const": "auto"}],
            "description": "stochastic passes, the model's own by default; `auto` for as many as a row needs",
        },
        "tolerance": {
            "type": "number",
            "exclusiveMinimum": 0,
            "description": "with `auto`: standard error of the mean at which a row stops, in its units",
        },
        "max_samples": {
            "type": "integer",
            "minimum": 32,
            "description": "with `auto`: what a row takes at most",
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
        "deterministic": {
            "type": "boolean",
            "description": "also answer what the model says with dropout off",
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
        "n_samples": {"anyOf": [{"type": "integer"}, {"const": "auto"}]},
        "tolerance": {"type": "number"},
        "max_samples": {"type": "integer"},
        "seed": {"type": "integer"},
        "notes": {**TEXTS, "description": "such as that a calibration is void under these settings"},
        "outputs": {
            "type": "object",
            "additionalProperties": NUMBERS,
            "description": "one array per output, N rows each",
        },
    },
}

ERROR: Final[Schema] = {"type": "object", "required": ["error"], "properties": {"error": TEXT}}


REFUSALS: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "the request is not what was wanted",
        401: "no key, or an unknown one",
        404: "no such model",
        408: "the body came too slowly",
        413: "over a limit",
        415: "a content type or encoding that is not read here",
        429: "too much is queued; see Retry-After",
        500: "the model failed",
        503: "starting, stopping, or the model is failing",
        504: "not ready before the deadline",
    }
)
"""Of every prediction."""


def json_body(schema: Schema, *, required: bool = True) -> Schema:
    """What a route says of a body that is read raw."""
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def json_answer(description: str, schema: Schema) -> Schema:
    """An answer of a route."""
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def object_of(**properties: Schema) -> Schema:
    """The schema of an object in which every property is required."""
    return {"type": "object", "required": list(properties), "properties": properties}


def route(summary: str, ok: Schema, refusals: Mapping[int, str] = MappingProxyType({})) -> Schema:
    """Keyword arguments of a FastAPI route.

    Args:
        summary: One line.
        ok: Schema of the answer.
        refusals: When each refusal comes, by status.
    """
    responses: dict[int | str, Schema] = {200: json_answer("Success", ok)}
    responses |= {status: json_answer(when, ERROR) for status, when in refusals.items()}
    # a `default` keeps FastAPI from adding its own 422, which this service never sends
    responses["default"] = json_answer("Any other refusal", ERROR)
    return {"summary": summary, "response_model": None, "response_class": Response, "responses": responses}


HEALTH: Final = route("Does the process live?", object_of(live={"type": "boolean"}))
READY: Final = route("Can it answer?", object_of(ready={"type": "boolean"}, state=TEXT))
READY["responses"][503] = {**READY["responses"][200], "description": "Not now"}
MODELS: Final = route("Which models are there?", object_of(models=TEXTS))
MODEL: Final = route(
    "What does a model take and give?",
    {"type": "object"},
    {
        404: "no such model",
        503: "starting or stopping",
    },
)
METRICS: Final = route("Metrics for Prometheus", TEXT)
METRICS["responses"][200] = {"description": "Success", "content": {"text/plain": {"schema": TEXT}}}
PREDICT: Final = route("Predict with uncertainty", ANSWER, REFUSALS)
PREDICT["openapi_extra"] = json_body(REQUEST)
