"""The minimum of a smooth function of one positive number, over several orders of magnitude."""

import math
from collections.abc import Callable
from typing import Final

__all__ = ["minimise_positive"]

_GRID: Final = 25
_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_STEPS: Final = 40  # the bracket, two grid steps wide, shrinks by 4e-9


def minimise_positive(loss: Callable[[float], float], *, lowest: float, highest: float) -> float:
    """Where `loss` is smallest: a grid of equal ratios, then golden section around its best point.

    Args:
        loss: Of a positive number.
        lowest: Lower end of the search.
        highest: Upper end.

    Returns:
        The place; an end, if the loss falls towards it.

    Source:
        Kiefer 1953, "Sequential minimax search for a maximum".
    """
    low, high = math.log(lowest), math.log(highest)
    grid = [low + (high - low) * step / (_GRID - 1) for step in range(_GRID)]
    best = min(range(_GRID), key=lambda step: loss(math.exp(grid[step])))
    return math.exp(
        _golden(lambda x: loss(math.exp(x)), grid[max(best - 1, 0)], grid[min(best + 1, _GRID - 1)])
    )


def _golden(loss: Callable[[float], float], low: float, high: float) -> float:
    left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
    at_left, at_right = loss(left), loss(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - _GOLDEN * (high - low)
            at_left = loss(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + _GOLDEN * (high - low)
            at_right = loss(right)
    return (low + high) / 2
