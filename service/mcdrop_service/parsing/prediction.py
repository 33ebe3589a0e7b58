"""From a body to a checked prediction request.

    {"inputs": [[...], ...], "n_samples": 64, "seed": 7, "outputs": ["mean"], "quantiles": [0.05, 0.95]}

Everything but `inputs` is optional.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mcdrop_service.errors import BadRequestError, TooLargeError, shown
from mcdrop_service.facts import Array, ModelFacts, PredictionRequest
from mcdrop_service.parsing.arrays import array_from_nested
from mcdrop_service.parsing.document import decode_object

__all__ = ["BLOCK", "RequestLimits", "parse_prediction"]

BLOCK = 16
MAX_SEED = 2**63 - 1
FIELDS = ("inputs", "n_samples", "seed", "outputs", "quantiles")


@dataclass(frozen=True)
class RequestLimits:
    """How large one request may be.

    Attributes:
        max_n_samples: Most samples.
        max_units: Most units: rows times blocks of 16 samples.
        max_quantiles: Most quantile levels.
    """

    max_n_samples: int = 1000
    max_units: int = 16384
    max_quantiles: int = 100


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
    n_samples = _n_samples(document.get("n_samples", facts.n_samples), limits.max_n_samples)
    request = PredictionRequest(
        inputs=(inputs := _inputs(document["inputs"], facts)),
        rows=_rows(inputs),
        n_samples=n_samples,
        seed=_seed(document.get("seed", facts.seed)),
        outputs=_outputs(document["outputs"], facts) if "outputs" in document else facts.default_outputs,
        quantiles=_quantiles(document["quantiles"], limits.max_quantiles) if "quantiles" in document else (),
    )
    _check_size(request, limits)
    return request


def _check_fields(document: Mapping[str, object]) -> None:
    for name in document:
        if name not in FIELDS:
            raise BadRequestError(f"unknown field {shown(name)}; known are {', '.join(FIELDS)}")
    if "inputs" not in document:
        raise BadRequestError("the field 'inputs' is wanted and missing")


def _whole_number(value: object, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadRequestError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}")
    return value


def _n_samples(value: object, cap: int) -> int:
    return _whole_number(value, "n_samples", 2, cap)


def _seed(value: object) -> int:
    return _whole_number(value, "seed", 0, MAX_SEED)


def _inputs(value: object, facts: ModelFacts) -> dict[str, Array]:
    if len(facts.inputs) == 1:
        return {facts.inputs[0].name: array_from_nested(value, facts.inputs[0])}
    names = [wanted.name for wanted in facts.inputs]
    if not isinstance(value, dict) or set(value) != set(names):
        came = f"the keys {shown(sorted(value))}" if isinstance(value, dict) else "something else"
        raise BadRequestError(f"inputs must be an object with the keys {names}, got {came}")
    return {wanted.name: array_from_nested(value[wanted.name], wanted) for wanted in facts.inputs}


def _rows(inputs: Mapping[str, Array]) -> int:
    rows = {name: len(array) for name, array in inputs.items()}
    if len(set(rows.values())) > 1:
        raise BadRequestError(f"all inputs must have the same number of rows, got {rows}")
    return next(iter(rows.values()))


def _listed(value: object, name: str) -> list[object]:
    if not isinstance(value, list) or not value:
        came = "an empty list" if value == [] else shown(value)
        raise BadRequestError(f"{name} must be a list of at least one, got {came}")
    return value


def _outputs(value: object, facts: ModelFacts) -> tuple[str, ...]:
    known = ", ".join(facts.outputs)
    chosen: list[str] = []
    for name in _listed(value, "outputs"):
        if not isinstance(name, str) or name not in facts.outputs:
            raise BadRequestError(f"unknown output {shown(name)}; this model has {known}")
        if name in chosen:
            raise BadRequestError(f"the output {shown(name)} is asked for twice")
        chosen.append(name)
    return tuple(chosen)


def _quantiles(value: object, cap: int) -> tuple[float, ...]:
    levels = _listed(value, "quantiles")
    if len(levels) > cap:
        raise BadRequestError(f"quantiles must be at most {cap} levels, got {len(levels)}")
    return tuple(map(_level, levels))


def _level(level: object) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise BadRequestError(f"quantiles must be numbers between 0 and 1, both excluded, got {shown(level)}")
    return float(level)


def _check_size(request: PredictionRequest, limits: RequestLimits) -> None:
    units = request.rows * -(-request.n_samples // BLOCK)
    if units > limits.max_units:
        raise TooLargeError(
            f"a request may hold {limits.max_units} rows times blocks of {BLOCK} samples, "
            f"got {units} ({request.rows} rows, {request.n_samples} samples); send fewer rows at a time"
        )
