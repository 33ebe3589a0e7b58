"""From a body of the Open Inference Protocol, version 2, to a checked request.

    {"inputs": [{"name": "x", "shape": [1, 2], "datatype": "FP32", "data": [0.1, 0.2]}],
     "outputs": [{"name": "mean"}], "parameters": {"n_samples": 64, "seed": 7, "quantiles": "0.05,0.95"}}

With the binary tensor data extension the JSON is followed by the raw bytes of the inputs.

Source:
    https://github.com/kserve/open-inference-protocol, `specification/protocol/inference_rest.md`.
"""

from collections.abc import Mapping, Sequence
from typing import Final

from mcdrop_service.errors import BadRequestError, shown
from mcdrop_service.facts import SAMPLES, STOPPED, Array, InferenceRequest, ModelFacts, PredictionRequest
from mcdrop_service.parsing.document import decode_object
from mcdrop_service.parsing.fields import (
    COUNT,
    RequestLimits,
    SampleCount,
    check_size,
    common_rows,
    levels_of,
    output_names,
    sample_count_of,
    seed_of,
)
from mcdrop_service.parsing.tensors import RawData, tensor_of

__all__ = ["parse_inference"]

MAX_ID_CHARACTERS: Final = 256
OURS: Final = (*COUNT, "seed", "quantiles", "return_samples")
THEIRS: Final = ("binary_data_output", "timeout", "priority")
# what serving gateways add by themselves: it changes no answer here
HARMLESS: Final = ("content_type", "headers", "sequence_id", "sequence_start", "sequence_end")
QUANTILES: Final = "quantiles"
FOR_PEOPLE: Final = "samples"

Document = dict[str, object]


def parse_inference(
    body: bytes, json_bytes: int | None, facts: ModelFacts, limits: RequestLimits
) -> InferenceRequest:
    """The request that a body holds, checked against the model.

    Args:
        body: UTF-8 text of one JSON object, with binary tensor data behind it or not.
        json_bytes: Length of the JSON part; None if there is nothing else.
        facts: The model that was asked.
        limits: How large a request may be.

    Returns:
        The request, with the model's defaults where it does not say.

    Raises:
        BadRequestError: If anything in it is not what was wanted.
        TooLargeError: If rows times samples are over the limit.
    """
    text, rest = _parts(body, json_bytes)
    document = decode_object(text)
    parameters = _request_parameters(document)
    inputs = _inputs(document, facts, rest)
    levels = _levels(parameters, limits)
    count = sample_count_of(parameters, facts, limits)
    asked = _asked_outputs(document)
    prediction = PredictionRequest(
        inputs=inputs,
        rows=common_rows(inputs),
        n_samples=count.most,
        seed=seed_of(_number_in(parameters.get("seed", facts.seed))),
        outputs=_outputs(asked, facts, count, levels=levels, samples=_flag(parameters, "return_samples")),
        quantiles=levels,
        tolerance=count.tolerance,
    )
    check_size(prediction, limits)
    binary = _binary(asked, prediction, default=_flag(parameters, "binary_data_output"))
    return InferenceRequest(prediction, _id(document), binary, _timeout_s(parameters))


def _parts(body: bytes, json_bytes: int | None) -> tuple[bytes, memoryview]:
    if json_bytes is None:
        return body, memoryview(b"")
    if not 0 < json_bytes <= len(body):
        raise BadRequestError(
            "the header Inference-Header-Content-Length must be at least 1 and at most the "
            f"{len(body)} bytes of the body, got {json_bytes}"
        )
    return body[:json_bytes], memoryview(body)[json_bytes:]


def _objects(document: Document, name: str, wants: str) -> list[Document]:
    value = document.get(name)
    if not isinstance(value, list) or not value or not all(isinstance(entry, dict) for entry in value):
        raise BadRequestError(
            f"{name} must be a list of at least one object with {wants}, got {shown(value)}"
        )
    return value


def _object(document: Document, name: str) -> Document:
    value = document.get(name, {})
    if not isinstance(value, dict):
        raise BadRequestError(f"{name} must be an object, got {shown(value)}")
    return value


def _inputs(document: Document, facts: ModelFacts, rest: memoryview) -> dict[str, Array]:
    entries = _objects(document, "inputs", "name, shape, datatype and data")
    wanted = {each.name: each for each in facts.inputs}
    came = [entry.get("name") for entry in entries]
    if len(came) != len(wanted) or any(name not in came for name in wanted):
        raise BadRequestError(f"inputs must be {', '.join(wanted)}, each once, got {shown(came)}")
    raw = RawData(rest)
    found = {str(entry["name"]): tensor_of(entry, wanted[str(entry["name"])], raw) for entry in entries}
    raw.check_empty()
    return {name: found[name] for name in wanted}


def _request_parameters(document: Document) -> Document:
    parameters = _object(document, "parameters")
    for name in parameters:
        if name not in (*OURS, *THEIRS, *HARMLESS) and not name.startswith("triton_"):
            raise BadRequestError(f"unknown parameter {shown(name)}; known are {', '.join((*OURS, *THEIRS))}")
    return parameters


def _flag(parameters: Mapping[str, object], name: str) -> bool:
    value = parameters.get(name, False)
    if not isinstance(value, bool):
        raise BadRequestError(f"{name} must be true or false, got {shown(value)}")
    return value


def _number_in(value: object) -> object:
    """A whole number that came as a decimal string, for clients whose numbers end at 2^53."""
    plain = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    return int(str(value)) if plain else value


def _levels(parameters: Mapping[str, object], limits: RequestLimits) -> tuple[float, ...]:
    if QUANTILES not in parameters:
        return ()
    text = parameters[QUANTILES]
    try:
        levels: Sequence[object] = [float(level) for level in text.split(",")]  # type: ignore[attr-defined]
    except (AttributeError, ValueError):
        raise BadRequestError(
            f"quantiles must be levels with commas between, such as '0.05,0.95', got {shown(text)}"
        ) from None
    return levels_of(levels, limits)


def _asked_outputs(document: Document) -> list[Document]:
    if "outputs" not in document or document["outputs"] == []:
        return []
    entries = _objects(document, "outputs", "a name")
    for entry in entries:
        if "classification" in _object(entry, "parameters"):
            raise BadRequestError("the classification extension is not served; ask for label and mean")
    return entries


def _outputs(
    asked: Sequence[Document],
    facts: ModelFacts,
    count: SampleCount,
    *,
    levels: Sequence[float],
    samples: bool,
) -> tuple[str, ...]:
    """Names of the outputs without the quantiles, which have a field of their own."""
    every = facts.outputs if count.tolerance is None else (*facts.outputs, *STOPPED)
    named = [entry.get("name") for entry in asked] if asked else every
    wanted = [*named, *([FOR_PEOPLE] if samples and FOR_PEOPLE not in named else [])]
    names = output_names(wanted, _known(facts), count)
    if QUANTILES in names and not levels:
        raise BadRequestError("the output quantiles needs the parameter quantiles, such as '0.05,0.95'")
    return tuple(name for name in names if name != QUANTILES)


def _known(facts: ModelFacts) -> tuple[str, ...]:
    """Outputs for people, and the fields of which our own client makes a predictive."""
    return tuple(dict.fromkeys((*facts.outputs, FOR_PEOPLE, QUANTILES, *facts.fields, *SAMPLES)))


def _binary(asked: Sequence[Document], prediction: PredictionRequest, *, default: bool) -> frozenset[str]:
    names = [*prediction.outputs, *((QUANTILES,) if prediction.quantiles else ())]
    chosen = {
        str(entry["name"]): _flag({"binary_data": default, **_object(entry, "parameters")}, "binary_data")
        for entry in asked
    }
    return frozenset(name for name in names if chosen.get(name, default))


def _id(document: Document) -> str | None:
    value = document.get("id")
    if value is not None and (not isinstance(value, str) or len(value) > MAX_ID_CHARACTERS):
        raise BadRequestError(
            f"id must be text of at most {MAX_ID_CHARACTERS} characters, got {shown(value)}"
        )
    return value


def _timeout_s(parameters: Mapping[str, object]) -> float | None:
    """The client's own limit, which comes in microseconds; 0 means none."""
    value = parameters.get("timeout", 0)
    if type(value) is not int or value < 0:
        raise BadRequestError(f"timeout must be a whole number of microseconds, got {shown(value)}")
    return value / 1e6 if value else None
