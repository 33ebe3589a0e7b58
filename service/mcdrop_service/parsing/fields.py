"""What both routes check of a request, whatever form it came in."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mcdrop_service.errors import BadRequestError, TooLargeError, shown
from mcdrop_service.facts import BLOCK, SAMPLES, STOPPED, Array, ModelFacts, PredictionRequest

__all__ = [
    "COUNT",
    "LEAST_AUTO",
    "MOST_AUTO",
    "RequestLimits",
    "SampleCount",
    "check_size",
    "common_rows",
    "levels_of",
    "output_names",
    "sample_count_of",
    "seed_of",
]

COUNT = ("n_samples", "tolerance", "max_samples")
"""What a request can say of its number of samples."""
WITH_AUTO = frozenset(COUNT[1:])

LEAST_AUTO = 32
MOST_AUTO = 1024
"""What a row takes with `auto`, at least, and at most where the request does not say: as in the library."""

AUTO = "auto"
MAX_SEED = 2**63 - 1


@dataclass(frozen=True)
class RequestLimits:
    """How large one request may be.

    Attributes:
        max_n_samples: Most samples.
        max_units: Most units: rows times blocks of 16 samples.
        max_quantiles: Most quantile levels.
    """

    max_n_samples: int = 1024
    max_units: int = 16384
    max_quantiles: int = 100


@dataclass(slots=True)
class SampleCount:
    """How many samples a row takes.

    Attributes:
        most: S; with a tolerance the most that a row takes.
        tolerance: Standard error of the mean at which a row stops; None if all take S.
    """

    most: int
    tolerance: float | None = None


def sample_count_of(said: Mapping[str, object], facts: ModelFacts, limits: RequestLimits) -> SampleCount:
    """What `n_samples`, `tolerance` and `max_samples` say.

    Args:
        said: These and other fields, as they came.
        facts: The model that was asked; its own number is the default.
        limits: How many there may be.

    Raises:
        BadRequestError: If a number is out of its range, or `auto` comes without a tolerance, or a tolerance
            without `auto`.
    """
    n_samples = said.get("n_samples", facts.n_samples)
    if n_samples == AUTO:
        return _auto(said, limits)
    if not WITH_AUTO.isdisjoint(said):
        given = next(name for name in COUNT[1:] if name in said)
        came = shown(n_samples) if "n_samples" in said else "no n_samples"
        raise BadRequestError(f"{given} belongs to n_samples='auto', got {came}")
    return SampleCount(_whole_number(n_samples, "n_samples", 2, limits.max_n_samples, " or 'auto'"))


def _auto(said: Mapping[str, object], limits: RequestLimits) -> SampleCount:
    if limits.max_n_samples < LEAST_AUTO:
        raise BadRequestError(
            f"n_samples='auto' takes at least {LEAST_AUTO} samples, and this service at most "
            f"{limits.max_n_samples}; name a number"
        )
    if "tolerance" not in said:
        raise BadRequestError(
            "n_samples='auto' needs tolerance, the standard error of the mean at which a row stops, in units "
            "of the mean, such as 0.01 for probabilities"
        )
    most = said.get("max_samples", min(MOST_AUTO, limits.max_n_samples))
    return SampleCount(
        _whole_number(most, "max_samples", LEAST_AUTO, limits.max_n_samples), _tolerance(said["tolerance"])
    )


def _tolerance(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < math.inf:
        raise BadRequestError(
            f"tolerance must be a positive number, in units of the mean, got {shown(value)}"
        )
    return float(value)


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
    rows = set(map(len, inputs.values()))
    if len(rows) > 1:
        came = {name: len(array) for name, array in inputs.items()}
        raise BadRequestError(f"all inputs must have the same number of rows, got {came}")
    return rows.pop()


def output_names(names: Sequence[object], known: Sequence[str], count: SampleCount) -> tuple[str, ...]:
    """Outputs that were asked for.

    Args:
        names: As they came.
        known: What the model and the route have.
        count: How many samples are taken: some outputs are of `auto` only, and the samples are not.

    Raises:
        BadRequestError: If one is unknown, or comes twice, or is not to be had of this number of samples.
    """
    _check_count(names, count)
    known = known if count.tolerance is None else (*known, *STOPPED)
    chosen: list[str] = []
    for name in names:
        if not isinstance(name, str) or name not in known:
            raise BadRequestError(f"unknown output {shown(name)}; this model has {', '.join(known)}")
        if name in chosen:
            raise BadRequestError(f"the output {shown(name)} is asked for twice")
        chosen.append(name)
    return tuple(chosen)


def _check_count(names: Sequence[object], count: SampleCount) -> None:
    if count.tolerance is not None and any(name in names for name in SAMPLES):
        raise BadRequestError(
            "samples cannot be had with n_samples='auto', since rows take different numbers of them; ask for "
            "quantiles, or name a number of samples"
        )
    if count.tolerance is None and (given := [name for name in STOPPED if name in names]):
        raise BadRequestError(f"the output {given[0]} belongs to n_samples='auto'")


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
    units = request.rows * request.blocks
    if units > limits.max_units:
        counted, hint = (
            (request.n_samples, "")
            if request.tolerance is None
            else (f"up to {request.n_samples}", ", or name a smaller max_samples")
        )
        raise TooLargeError(
            f"a request may hold {limits.max_units} rows times blocks of {BLOCK} samples, "
            f"got {units} ({request.rows} rows, {counted} samples); send fewer rows at a time{hint}"
        )


def _whole_number(value: object, name: str, low: int, high: int, beside: str = "") -> int:
    if type(value) is not int or not low <= value <= high:
        raise BadRequestError(
            f"{name} must be a whole number from {low} to {high}{beside}, got {shown(value)}"
        )
    return value


def _level(level: object) -> float:
    if isinstance(level, bool) or not isinstance(level, int | float) or not 0 < level < 1:
        raise BadRequestError(f"quantiles must be numbers between 0 and 1, both excluded, got {shown(level)}")
    return float(level)
