"""Scores against the number of samples, from one run: the first k of S samples are what k would have given.

How far a run of k samples wanders is seen in the run itself: it is cut into disjoint shorter runs. Below 16
these share blocks, whose samples were spread apart on purpose: there the error comes out a little too large.

Alphabet: S samples, N rows, R shorter runs.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Final

import torch
from torch import Tensor

from mcdrop.assessment.sections import SamplesPoint

__all__ = ["enough_samples", "fitting_rows", "samples_points"]

_SHORTEST: Final = 2
_LEAST_RUNS: Final = 4
_LARGEST: Final = 20_000_000  # numbers that are averaged at once
_NEGLIGIBLE: Final = 0.1


def samples_points(
    samples: Tensor, scores: Mapping[str, Callable[[Tensor], float]]
) -> tuple[SamplesPoint, ...]:
    """Scores of the first 2, 4, 8, ... and of all samples.

    The standard error is the spread of the runs of that length, where there are at least 4; beyond it is that
    of the longest such run times the root of the ratio of the lengths.

    Args:
        samples: (S, N, ...) in the order in which they were drawn.
        scores: From some samples to a score, by its name.
    """
    return tuple(
        point for name, score in scores.items() for point in _points(samples, name, score) if samples.shape[0]
    )


def enough_samples(points: tuple[SamplesPoint, ...], half_width: float) -> int | None:
    """The fewest samples whose Monte Carlo error is at most a tenth of what the rows leave open.

    Args:
        points: Of one score, in the order of the samples.
        half_width: Of the score's confidence interval.

    Returns:
        How many; None if none of the runs was long enough.
    """
    limit = _NEGLIGIBLE * half_width
    errors = ((point.n_samples, _error(point)) for point in points)
    return min((count for count, error in errors if error is not None and error <= limit), default=None)


def fitting_rows(samples: Tensor) -> slice:
    """Which rows to take: all, or some at equal distances if there are very many."""
    return slice(None, None, max(1, -(-samples.numel() // _LARGEST)))


def _error(point: SamplesPoint) -> float | None:
    """The larger of what a run of that length wanders, and how far it lies off; None if it is not known."""
    if point.standard_error is None or point.distance is None:
        return None
    return max(point.distance, point.standard_error)


def _points(samples: Tensor, name: str, score: Callable[[Tensor], float]) -> Iterator[SamplesPoint]:
    whole = score(samples)
    known: tuple[int, float] | None = None
    for k in _lengths(len(samples)):
        runs = [score(run) for run in _runs(samples, k)]
        finite = all(map(math.isfinite, [*runs, whole]))
        if len(runs) >= _LEAST_RUNS and finite:
            known = k, torch.tensor(runs, dtype=torch.float64, device="cpu").std().item()
        error = None if known is None or not finite else known[1] * math.sqrt(known[0] / k)
        distance = math.sqrt(math.fsum((run - whole) ** 2 for run in runs) / len(runs)) if finite else None
        yield SamplesPoint(name, k, score(samples[:k]), error, distance)


def _lengths(count: int) -> list[int]:
    powers = [2**n for n in range(1, count.bit_length()) if _SHORTEST <= 2**n < count]
    return [*powers, count]


def _runs(samples: Tensor, k: int) -> list[Tensor]:
    return [samples[start : start + k] for start in range(0, len(samples) - k + 1, k)]
