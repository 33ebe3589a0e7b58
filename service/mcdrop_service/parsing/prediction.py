"""From a body to a checked prediction request.

    {"inputs": [[...], ...], "n_samples": 64, "seed": 7, "outputs": ["mean"], "quantiles": [0.05, 0.95]}

Everything but `inputs` is optional. With `"n_samples": "auto", "tolerance": 0.01` each row takes as many
samples as it needs; `max_samples` bounds them.
"""

from collections.abc import Mapping

from mcdrop_service.errors import BadRequestError, shown
from mcdrop_service.facts import STOPPED, Array, ModelFacts, PredictionRequest
from mcdrop_service.parsing.arrays import array_from_nested
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

__all__ = ["parse_prediction"]

FIELDS = ("inputs", *COUNT, "seed", "outputs", "quantiles", "deterministic")
DETERMINISTIC = "deterministic"


def parse_prediction(body: bytes, facts: ModelFacts, limits: RequestLimits) -> PredictionRequest:
    """The request that a body holds, checked against the model.

    Args:
        body: UTF-8 text of one JSON object.
        facts: The model that was asked.
        limits: How large a request may be.

    Returns:
        The request, with the model's defaults where it does not say.

    Raises:
        BadRequestError: If anything in it is not what was wanted.
        TooLargeError: If rows times samples are over the limit.
    """
    document = decode_object(body)
    _check_fields(document)
    count = sample_count_of(document, facts, limits)
    request = PredictionRequest(
        inputs=(inputs := _inputs(document["inputs"], facts)),
        rows=common_rows(inputs),
        n_samples=count.most,
        seed=seed_of(document.get("seed", facts.seed)),
        outputs=_outputs(document, facts, count),
        quantiles=_quantiles(document["quantiles"], limits) if "quantiles" in document else (),
        tolerance=count.tolerance,
    )
    check_size(request, limits)
    return request


def _check_fields(document: Mapping[str, object]) -> None:
    for name in document:
        if name not in FIELDS:
            raise BadRequestError(f"unknown field {shown(name)}; known are {', '.join(FIELDS)}")
    if "inputs" not in document:
        raise BadRequestError("the field 'inputs' is wanted and missing")


def _inputs(value: object, facts: ModelFacts) -> dict[str, Array]:
    if len(facts.inputs) == 1 and not isinstance(value, dict):
        return {facts.inputs[0].name: array_from_nested(value, facts.inputs[0])}
    names = [wanted.name for wanted in facts.inputs]
    if not isinstance(value, dict) or set(value) != set(names):
        came = f"the keys {shown(sorted(value))}" if isinstance(value, dict) else "something else"
        rows = "N rows as nested lists, or " if len(names) == 1 else ""
        raise BadRequestError(f"inputs must be {rows}an object with the keys {names}, got {came}")
    return {wanted.name: array_from_nested(value[wanted.name], wanted) for wanted in facts.inputs}


def _listed(value: object, name: str) -> list[object]:
    if not isinstance(value, list) or not value:
        came = "an empty list" if value == [] else shown(value)
        raise BadRequestError(f"{name} must be a list of at least one, got {came}")
    return value


def _outputs(document: Mapping[str, object], facts: ModelFacts, count: SampleCount) -> tuple[str, ...]:
    """What is asked for; with `auto` always how many samples each row took."""
    names = facts.default_outputs
    if "outputs" in document:
        known = (*facts.outputs, "samples")
        names = output_names(_listed(document["outputs"], "outputs"), known, count)
    beside = document.get(DETERMINISTIC, False)
    if not isinstance(beside, bool):
        raise BadRequestError(f"{DETERMINISTIC} must be true or false, got {shown(beside)}")
    further = (*((DETERMINISTIC,) if beside else ()), *(() if count.tolerance is None else STOPPED))
    return tuple(dict.fromkeys((*names, *further))) if further else names


def _quantiles(value: object, limits: RequestLimits) -> tuple[float, ...]:
    return levels_of(_listed(value, "quantiles"), limits)
