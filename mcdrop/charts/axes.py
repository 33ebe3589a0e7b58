"""Axes: ranges that hold the data, with ticks at round numbers."""

import math
from collections.abc import Iterable
from typing import Final

from mcdrop.charts.marks import Axis

__all__ = ["doublings", "from_zero", "shares", "spanning"]

_TICKS: Final = 5
_SMALLEST: Final = 1e-15  # a range narrower than that, or than this part of its place, is widened
_FINEST: Final = 1e-8
_ROUND: Final = (1.0, 2.0, 2.5, 5.0, 10.0)


def shares(label: str) -> Axis:
    """From 0 to 1."""
    return Axis(label, 0.0, 1.0, tuple((tick / 5, f"{tick / 5:g}") for tick in range(6)))


def spanning(label: str, values: Iterable[float]) -> Axis:
    """From a round number below the smallest finite value to one above the largest."""
    return _axis(label, *_range(values))


def from_zero(label: str, values: Iterable[float]) -> Axis:
    """From 0 to a round number above the largest finite value."""
    _, high = _range(values)
    return _axis(label, 0.0, high)


def doublings(label: str, values: Iterable[float]) -> Axis:
    """The logarithm to base 2 of counts; the ticks are the counts.

    Args:
        label: Of the axis.
        values: Counts of at least 1; on the chart they are at their logarithm.
    """
    counts = sorted(set(values))
    low, high = math.log2(counts[0]), math.log2(counts[-1])
    if high - low < 1:
        low, high = low - 0.5, high + 0.5
    powers = range(math.ceil(low), math.floor(high) + 1)
    step = max(1, round(len(powers) / 7))
    return Axis(label, low, high, tuple((float(n), f"{2**n:g}") for n in powers[::step]))


def _range(values: Iterable[float]) -> tuple[float, float]:
    finite = [value for value in values if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    if low == high:
        low, high = low - (abs(low) or 1.0) / 2, high + (abs(high) or 1.0) / 2
    return low, high


def _axis(label: str, low: float, high: float) -> Axis:
    high = max(high, low + max(_SMALLEST, _FINEST * abs(low)))
    rough = (high - low) / _TICKS
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in _ROUND if size * factor >= rough * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [float(f"{step * place:.12g}") for place in range(first, last + 1)]
    return Axis(label, ticks[0], ticks[-1], tuple((tick, f"{tick:.10g}") for tick in ticks))
