"""What both routes check of a request, whatever form it came in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcdrop_service.errors import BadRequestError, TooLargeError, shown
from mcdrop_service.facts import Array, PredictionRequest

__all__ = [
    "RequestLimits",
    "check_size",
    "common_rows",
    "levels_of",
    "n_samples_of",
    "output_names",
    "seed_of",
]

BLOCK = 16
MAX_SEED = 2**63 - 1
SAMPLES = "samples"


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


def n_samples_of(value: object, limits: RequestLimits) -> int:
    """A number of samples.

    Raises:
        BadRequestError: If it is no whole number from 2 to the cap.
    """
    return _whole_number(value, "n_samples", 2, limits.max_n_samples)


def seed_of(value: object) -> int:
    """A seed.

    Raises:
        BadRequestError: If it is no whole number from 0 to 2^63 - 1.
    """
    return _whole_number(value, "seed", 0, MAX_SEED)


def common_rows(inputs: Mapping[str, Array]) -> int:
    """The number of rows of all inputs.

    Raises:
        BadRequestError: If they differ.
    """
    rows = {name: len(array) for name, array in inputs.items()}
    if len(set(rows.values())) > 1:
        raise BadRequestError(f"all inputs must have the same number of rows, got {rows}")
    return next(iter(rows.values()))


def output_names(names: Sequence[object], known: Sequence[str]) -> tuple[str, ...]:
    """Outputs that were asked for.

    Args:
        names: As they came.
        known: What there is.

    Raises:
        BadRequestError: If one is unknown, or comes twice.
    """
    chosen: list[str] = []
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise BadRequestError(f"unknown output {shown(name)}; this model has {', '.join(known)}")
        if name in chosen:
            raise BadRequestError(f"the output {shown(name)} is asked for twice")
        chosen.append(name)
    return tuple(chosen)


def levels_of(levels: Sequence[object], limits: RequestLimits) -> tuple[float, ...]:
    """Quantile levels.

    Raises:
        BadRequestError: If there are too many, or one is no number between 0 and 1.
    """
    if len(levels) > limits.max_quantiles:
        raise BadRequestError(f"quantiles must be at most {limits.max_quantiles} levels, got {len(levels)}")
    return tuple(map(_level, levels))


def check_size(request: PredictionRequest, limits: RequestLimits) -> None:
    """Refuse what is too much work for one request.

    Raises:
        TooLargeError: If rows times samples are over the limit.
    """
    units = request.rows * -(-request.n_samples // BLOCK)
    if units > limits.max_units:
        raise TooLargeError(
            f"a request may hold {limits.max_units} rows times blocks of {BLOCK} samples, "
            f"got {units} ({request.rows} rows, {request.n_samples} samples); send fewer rows at a time"
        )


def _whole_number(value: object, name: str, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadRequestError(f"{name} must be a whole number from {low} to {high}, got {shown(value)}")
    return value


def _level(level: object) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise BadRequestError(f"quantiles must be numbers between 0 and 1, both excluded, got {shown(level)}")
    return float(level)
