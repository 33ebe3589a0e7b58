"""Where to look for rates: on a grid, or by golden section; one group after the other."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from mcdrop.progress import Progress
from mcdrop.tuning.trial import Result, Trial

__all__ = ["SEARCHES", "Tried", "most_steps", "search_groups"]

_GOLDEN: Final = (math.sqrt(5) - 1) / 2
_GOLDEN_STEPS: Final = 8
"""After these the bracket has a thirtieth of its width."""


@dataclass
class Tried:
    """Tries rates, each once.

    Attributes:
        trial: Gives their losses.
        progress: Is told of every step.
        known: What was tried, in its order.
    """

    trial: Trial
    progress: Progress
    known: dict[tuple[tuple[str, float], ...], Result] = field(default_factory=dict)

    def __call__(self, rates: Mapping[str, float]) -> float:
        """Mean loss with some rates by group; infinite where it is no number."""
        key = tuple(sorted(rates.items()))
        if key not in self.known:
            self.known[key] = self.trial.at(rates)
        self.progress.advance(1)
        mean = self.known[key].mean
        return math.inf if math.isnan(mean) else mean

    def results(self) -> list[Result]:
        """What was tried."""
        return list(self.known.values())


def search_groups(
    tried: Tried, groups: Sequence[str], grid: Sequence[float], search: str, rounds: int
) -> None:
    """Try rates for one group after the other, the others staying at the best so far.

    Args:
        tried: Takes them.
        groups: In their order.
        grid: Rates, in order.
        search: Name of the search.
        rounds: How often.
    """
    rates: dict[str, float] = {}
    for _ in range(rounds):
        for group in groups:
            rates[group] = SEARCHES[search](_Loss(tried, dict(rates), group), grid)


def most_steps(search: str, grid: Sequence[float]) -> int:
    """How many rates a search tries."""
    return len(grid) if search == "grid" else _GOLDEN_STEPS


@dataclass(frozen=True)
class _Loss:
    """The loss as a function of the rate of one group."""

    tried: Tried
    rates: Mapping[str, float]
    group: str

    def __call__(self, p: float) -> float:
        return self.tried({**self.rates, self.group: p})


def _on_grid(loss: Callable[[float], float], grid: Sequence[float]) -> float:
    """The rate of the grid with the lowest loss."""
    return min(grid, key=loss)


def _golden_section(loss: Callable[[float], float], grid: Sequence[float]) -> float:
    """The rate with the lowest loss that golden section meets between the ends of the grid.

    Source:
        Kiefer 1953, "Sequential minimax search for a maximum".
    """
    low, high = grid[0], grid[-1]
    left, right = _inner(low, high)
    losses = {left: loss(left), right: loss(right)}
    for _ in range(_GOLDEN_STEPS - 2):
        if losses[left] <= losses[right]:
            high, right = right, left
            left = round(high - _GOLDEN * (high - low), 6)
            losses[left] = loss(left)
        else:
            low, left = left, right
            right = round(low + _GOLDEN * (high - low), 6)
            losses[right] = loss(right)
    return min(losses, key=lambda p: losses[p])


def _inner(low: float, high: float) -> tuple[float, float]:
    width = _GOLDEN * (high - low)
    return round(high - width, 6), round(low + width, 6)


SEARCHES: Final[dict[str, Callable[[Callable[[float], float], Sequence[float]], float]]] = {
    "grid": _on_grid,
    "golden": _golden_section,
}
"""By name."""
