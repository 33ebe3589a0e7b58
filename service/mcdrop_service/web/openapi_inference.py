"""What the OpenAPI document says about the routes of the Open Inference Protocol."""

from typing import Any, Final

from mcdrop_service.web.openapi import (
    ERROR,
    NUMBERS,
    REFUSALS,
    TEXT,
    TEXTS,
    json_answer,
    json_body,
    object_of,
    route,
)

__all__ = [
    "ALL_STATS",
    "INDEX",
    "INFER",
    "LIVE",
    "MODEL",
    "MODELS",
    "MODEL_READY",
    "READY",
    "SERVER",
    "STATS",
]

Schema = dict[str, Any]
BOOLEAN: Final[Schema] = {"type": "boolean"}
SHAPE: Final[Schema] = {"type": "array", "items": {"type": "integer"}}
PARAMETERS: Final[Schema] = {
    "type": "object",
    "additionalProperties": {"anyOf": [TEXT, {"type": "number"}, BOOLEAN]},
}
NO_MODEL: Final = {
    401: "no key, or an unknown one",
    404: "no such model or version",
    503: "starting or stopping",
}
METADATA: Final[Schema] = object_of(name=TEXT, datatype=TEXT, shape=SHAPE)
TENSOR: Final[Schema] = {
    "type": "object",
    "required": ["name", "shape", "datatype"],
    "properties": {
        "name": TEXT,
        "shape": SHAPE,
        "datatype": {**TEXT, "description": "FP32, INT64, BOOL, ..."},
        "parameters": PARAMETERS,
        "data": {**NUMBERS, "description": "numbers in row-major order, nested or flat"},
    },
}

REQUEST: Final[Schema] = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": {**TEXT, "description": "repeated in the answer"},
        "inputs": {"type": "array", "minItems": 1, "items": TENSOR, "description": "each input of the model"},
        "outputs": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": TEXT, "parameters": PARAMETERS},
            },
            "description": "which to answer; all of them by default",
        },
        "parameters": {
            **PARAMETERS,
            "description": "n_samples (or 'auto' with tolerance and max_samples), seed, quantiles "
            "('0.05,0.95'), return_samples, timeout (microseconds), binary_data_output",
        },
    },
    "example": {
        "inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.1, 0.2]}],
        "outputs": [{"name": "mean"}, {"name": "std"}],
        "parameters": {"n_samples": 64, "seed": 7},
    },
}

ANSWER: Final[Schema] = {
    "type": "object",
    "required": ["model_name", "model_version", "parameters", "outputs"],
    "properties": {
        "model_name": TEXT,
        "model_version": TEXT,
        "id": TEXT,
        "parameters": {
            **PARAMETERS,
            "description": "seed, n_samples, model_digest, fingerprint, batch_invariance",
        },
        "outputs": {"type": "array", "items": TENSOR},
    },
}

SERVER: Final = route(
    "Open Inference Protocol: this server", object_of(name=TEXT, version=TEXT, extensions=TEXTS)
)
LIVE: Final = route("Open Inference Protocol: does the process live?", object_of(live=BOOLEAN))
READY: Final = route("Open Inference Protocol: can it answer?", object_of(ready=BOOLEAN, live=BOOLEAN))
READY["responses"][503] = {**READY["responses"][200], "description": "Not now"}
MODELS: Final = route(
    "Open Inference Protocol: which models are there?", object_of(models=TEXTS), {401: NO_MODEL[401]}
)
MODEL: Final = route(
    "Open Inference Protocol: what does a model take and give?",
    object_of(
        name=TEXT,
        versions=TEXTS,
        platform=TEXT,
        inputs={"type": "array", "items": METADATA},
        outputs={"type": "array", "items": METADATA},
        properties={"type": "object", "additionalProperties": TEXT},
    ),
    NO_MODEL,
)
MODEL_READINESS: Final = object_of(name=TEXT, ready=BOOLEAN)
MODEL_READY: Final = route("Open Inference Protocol: can a model be asked?", MODEL_READINESS, NO_MODEL)
MODEL_READY["responses"][503] = json_answer("Not now", {"anyOf": [MODEL_READINESS, ERROR]})
STATS: Final = route(
    "Open Inference Protocol: what did a model do?",
    object_of(model_stats={"type": "array", "items": {"type": "object"}}),
    NO_MODEL,
)
ALL_STATS: Final = route(
    "Open Inference Protocol: what did the models do?",
    object_of(model_stats={"type": "array", "items": {"type": "object"}}),
    {401: NO_MODEL[401]},
)
INDEX: Final = route(
    "Open Inference Protocol: which versions are there?",
    {"type": "array", "items": object_of(name=TEXT, version=TEXT, state=TEXT, reason=TEXT)},
    {400: "the request is not what was wanted", 401: NO_MODEL[401]},
)
INDEX["openapi_extra"] = json_body(
    {"type": "object", "properties": {"ready": {**BOOLEAN, "description": "only those that are"}}},
    required=False,
)
INFER: Final = route("Open Inference Protocol: predict with uncertainty", ANSWER, REFUSALS)
INFER["openapi_extra"] = json_body(REQUEST)
