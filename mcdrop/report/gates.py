"""Gates: does a report meet the limits that someone set? For continuous integration.

A gate judges a score's value; a strict gate judges the unfavourable end of its interval, so that a pass is
more than luck.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from mcdrop.errors import DomainError, OptionError
from mcdrop.scorecard import Report
from mcdrop.scoring import Score

__all__ = ["GATED_SCORES", "Gate", "check_gates", "gates_from_options"]

GATED_SCORES: Final[dict[str, tuple[float, float]]] = {
    "accuracy": (0, 1),
    "aurc": (0, math.inf),
    "brier": (0, 2),
    "coverage": (0, 1),
    "crps": (0, math.inf),
    "ece": (0, 1),
    "ece_l2": (0, 1),
    "ece_smooth": (0, 1),
    "ence": (0, math.inf),
    "error_auroc": (0, 1),
    "mae": (0, math.inf),
    "nll": (-math.inf, math.inf),
    "overconfidence": (-1, 1),
    "qce": (0, 1),
    "rmse": (0, math.inf),
    "width": (0, math.inf),
}
"""Scores that can have a gate, and between which ends they lie: a limit beyond them would say nothing."""


@dataclass(frozen=True)
class Gate:
    """A limit for one score.

    Attributes:
        score: Name of the score.
        side: `max` if the score must not be above the bound, `min` if not below.
        bound: The limit, in units of the score; met when equal.
    """

    score: str
    side: Literal["max", "min"]
    bound: float

    def __str__(self) -> str:
        return f"{self.side}-{self.score} {self.bound:g}"


def gates_from_options(options: Mapping[str, float | None]) -> tuple[Gate, ...]:
    """Gates from named limits such as `{"max_ece": 0.03, "min_coverage": None}`; None sets no gate.

    Raises:
        OptionError: If a name is not `max_` or `min_` and a score.
        DomainError: If a limit is NaN, infinite, or beyond what the score can be, so that it could never be
            met, or never fail.
    """
    return tuple(_gate(name, bound) for name, bound in options.items() if bound is not None)


def check_gates(report: Report, gates: Sequence[Gate], *, strict: bool = False) -> list[str]:
    """What fails, one sentence each; empty if all gates are met.

    Args:
        report: What was found.
        gates: The limits. A gate holds for every output of the model.
        strict: Judge the unfavourable end of each interval instead of the value; a score without one fails.

    Returns:
        The failures.

    Raises:
        OptionError: If the report has no score that a gate is about.
    """
    return [failure for gate in gates for failure in _failures(report, gate, strict=strict)]


def _gate(name: str, bound: float) -> Gate:
    side, _, score = name.replace("-", "_").partition("_")
    if score not in GATED_SCORES or side not in {"max", "min"}:
        raise OptionError(f"a gate must be max_ or min_ and one of {', '.join(GATED_SCORES)}, got {name!r}")
    _check_bound(f"--{side}-{score.replace('_', '-')}", bound, *GATED_SCORES[score])
    return Gate(score, "max" if side == "max" else "min", bound)


def _check_bound(option: str, bound: float, low: float, high: float) -> None:
    if math.isfinite(bound) and low <= bound <= high:
        return
    shares = "; write shares as fractions, 0.95 for 95 %" if (low, high) == (0, 1) else ""
    ends = f"be at least {low:g}" if low == 0 and math.isinf(high) else f"lie between {low:g} and {high:g}"
    wanted = "be a finite number" if math.isinf(low) else ends
    raise DomainError(f"{option} must {wanted}, got {bound:g}{shares}")


def _failures(report: Report, gate: Gate, *, strict: bool) -> list[str]:
    scores = [score for score in report.all_scores() if score.name == gate.score]
    if not scores:
        known = ", ".join(dict.fromkeys(score.name for score in report.all_scores()))
        raise OptionError(f"the gate {gate} wants a score that a report of {report.task} has: {known}")
    return [_sentence(gate, score, strict=strict) for score in scores if not _met(gate, score, strict=strict)]


def _met(gate: Gate, score: Score, *, strict: bool) -> bool:
    judged = _unfavourable(gate, score) if strict else score.value
    return judged <= gate.bound if gate.side == "max" else judged >= gate.bound


def _unfavourable(gate: Gate, score: Score) -> float:
    if score.interval is None:
        return math.nan  # compares as not met
    return score.interval.upper if gate.side == "max" else score.interval.lower


def _sentence(gate: Gate, score: Score, *, strict: bool) -> str:
    name = score.name if score.output is None else f"{score.name} of output {score.output}"
    what = f"{name} is {score.value:.4g}"
    if strict and score.interval is None:
        what += " and has no interval"
    elif strict and score.interval is not None:
        what += (
            f" ({score.interval.level:.0%} interval {score.interval.lower:.4g} to {score.interval.upper:.4g})"
        )
    limit = "at most" if gate.side == "max" else "at least"
    return f"{what}; wanted {limit} {gate.bound:g}"
