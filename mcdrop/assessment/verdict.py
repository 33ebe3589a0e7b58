"""A report in words: is it calibrated, over- or under-confident, better than one pass, and on enough samples?

Every sentence is judged on an interval or a p-value. `open` is the honest answer where the rows cannot tell.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mcdrop.assessment.samples import enough_samples
from mcdrop.assessment.sections import Difference, Finding, SamplesPoint
from mcdrop.intervals import Interval
from mcdrop.scoring import FEW_EVENTS, Score

__all__ = ["VOID", "Evidence", "verdict"]

VOID: Final = "calibration is void"
"""So begins the note of a prediction whose calibrators promise nothing."""

_TITLES: Final = {"nll": "NLL", "crps": "CRPS", "brier": "the Brier score", "rmse": "RMSE"}
_COMPARED: Final = ("nll", "crps", "brier", "rmse")
_LARGEST_OUTPUTS: Final = 3
_MATTERS: Final = 0.1
"""A gap between stated and observed shares that would matter: rows that leave room for one cannot tell."""
_UNTOLD: Final = "Too few rows to tell over- from under-confidence"


@dataclass(frozen=True)
class Evidence:
    """What the verdict is about.

    Attributes:
        n_rows: N.
        n_samples: S; 0 if there are none.
        level: Confidence of the intervals.
        coverage_level: Nominal coverage of the intervals that were checked.
        scores: All of them.
        p_value: Of the test of calibration, if there is one.
        differences: To the deterministic pass.
        samples: Scores against the number of samples.
        void: Why the promises of calibrators do not hold, if so.
        noise_known: Whether the law of a regression holds its noise; True for a classification.
    """

    n_rows: int
    n_samples: int
    level: float
    coverage_level: float
    scores: tuple[Score, ...]
    p_value: float | None
    differences: tuple[Difference, ...]
    samples: tuple[SamplesPoint, ...]
    void: tuple[str, ...] = ()
    noise_known: bool = True


def verdict(evidence: Evidence) -> tuple[Finding, ...]:
    """The sentences, in the order of the questions; what nothing is known about is left out."""
    return (
        *(Finding("calibration", "bad", f"{each[:1].upper()}{each[1:]}.") for each in evidence.void),
        *_calibration(evidence),
        *_confidence(evidence),
        *_deterministic(evidence),
        *_samples(evidence),
    )


def _calibration(evidence: Evidence) -> Iterator[Finding]:
    found = [each for each in evidence.scores if each.name in {"ece", "qce"} and each.interval]
    if not found:
        return
    worst = max(found, key=lambda each: each.interval.lower if each.interval else 0.0)
    what = "stated and observed frequencies" if worst.name == "ece" else "stated quantiles and outcomes"
    apart = f"{what}{_of_output(worst)} lie {_number(worst.value)} apart on average {_ends(worst.interval)}"
    if _speaks_against(evidence, worst):
        yield Finding("calibration", "bad", f"Not calibrated{_p(evidence)}: {apart}.")
    elif any(each.status == "bad" for each in _confidence(evidence)):
        shown = f"the test of the whole shows nothing{_p(evidence)}, the next line does"
        yield Finding("calibration", "open", f"Not settled: {shown}; {apart}.")
    elif any(each.interval is not None and each.interval.upper > _MATTERS for each in found):
        few = f"and too few rows ({evidence.n_rows}) to rule it out"
        yield Finding("calibration", "open", f"No sign of miscalibration, {few}{_p(evidence)}: {apart}.")
    else:
        yield Finding(
            "calibration",
            "good",
            f"No sign of miscalibration in {evidence.n_rows} rows{_p(evidence)}: {apart}.",
        )


def _speaks_against(evidence: Evidence, worst: Score) -> bool:
    if evidence.p_value is not None:
        return evidence.p_value < 1 - evidence.level
    return worst.interval is not None and worst.interval.lower > 0


def _confidence(evidence: Evidence) -> Iterator[Finding]:
    for score in evidence.scores:
        if score.name == "overconfidence" and score.interval is not None:
            yield _of_probabilities(score, score.interval)
    covered = [each for each in evidence.scores if each.name == "coverage" and each.interval]
    for score in covered[:_LARGEST_OUTPUTS]:
        if score.interval is not None:
            yield _of_intervals(score, score.interval, evidence)


def _of_probabilities(score: Score, interval: Interval) -> Finding:
    size = f"{_number(abs(score.value))} {'above' if score.value >= 0 else 'below'} the observed share"
    text = f"the stated probability is on average {size} {_ends(interval)}."
    if interval.lower > 0:
        return Finding("confidence", "bad", f"Over-confident: {text}")
    if interval.upper < 0:
        return Finding("confidence", "bad", f"Under-confident: {text}")
    if max(-interval.lower, interval.upper) > _MATTERS:
        return Finding("confidence", "open", f"{_UNTOLD}: {text}")
    return Finding("confidence", "good", f"Neither over- nor under-confident on the whole: {text}")


def _of_intervals(score: Score, interval: Interval, evidence: Evidence) -> Finding:
    wanted = evidence.coverage_level
    share = f"{score.value:.1%} of the outcomes {_percent(interval)}"
    held = f"{wanted:.0%} intervals{_of_output(score)} hold {share}"
    if interval.upper < wanted:
        why = "" if evidence.noise_known else ", as they must without the noise"
        return Finding("confidence", "bad", f"Over-confident: {held}{why}.")
    if interval.lower > wanted:
        return Finding("confidence", "bad", f"Under-confident: {held}.")
    if wanted - interval.lower > _MATTERS:
        return Finding("confidence", "open", f"{_UNTOLD}: {held}.")
    return Finding("confidence", "good", f"Neither over- nor under-confident: {held}.")


def _deterministic(evidence: Evidence) -> Iterator[Finding]:
    known = {
        (each.name, each.output): (each, each.interval) for each in evidence.differences if each.interval
    }
    outputs: list[int | None] = [*dict.fromkeys(output for _, output in known)]
    for output in outputs[:_LARGEST_OUTPUTS]:
        name = next((name for name in _COMPARED if (name, output) in known), None)
        if name is not None:
            yield _compared(*known[name, output], few=_few_errors(evidence))


def _few_errors(evidence: Evidence) -> str:
    """Why a surer prediction looks better than it may be: it is the errors that would cost it most."""
    accuracy = next((each.value for each in evidence.scores if each.name == "accuracy"), None)
    errors = math.inf if accuracy is None else (1 - accuracy) * evidence.n_rows
    if errors >= FEW_EVENTS:
        return ""
    return f", since fewer than {FEW_EVENTS} are wrong ({_number(errors)} of {evidence.n_rows})"


def _compared(found: Difference, interval: Interval, *, few: str) -> Finding:
    side = "lower" if found.value < 0 else "higher"
    size = f"{_number(abs(found.value))} {side} {_ends(interval)}"
    text = f"{_TITLES[found.name]}{_of_output(found)} is {size} on the same rows."
    if interval.upper < 0:
        return Finding("deterministic", "good", f"Better than the deterministic pass: {text}")
    untold = "These rows do not tell it from the deterministic pass"
    if interval.lower > 0:
        worse = Finding("deterministic", "bad", f"Worse than the deterministic pass: {text}")
        return Finding("deterministic", "open", f"{untold}{few}: {text}") if few else worse
    return Finding("deterministic", "open", f"{untold}: {text}")


def _samples(evidence: Evidence) -> Iterator[Finding]:
    for name in _COMPARED:
        points = tuple(each for each in evidence.samples if each.name == name)
        score = next((each for each in evidence.scores if each.name == name and each.interval), None)
        known = any(each.standard_error is not None for each in points)
        if known and score is not None and score.interval is not None:
            yield _enough(points, score.interval, _TITLES[name])
            return


def _enough(points: Sequence[SamplesPoint], interval: Interval, title: str) -> Finding:
    needed = enough_samples(tuple(points), (interval.upper - interval.lower) / 2)
    last = points[-1]
    error = last.standard_error
    known = (
        "" if error is None else f" (Monte Carlo error of {title} with {last.n_samples}: {_number(error)})"
    )
    if needed is None:
        return Finding(
            "samples",
            "open",
            f"More than {last.n_samples} samples would make a difference that these rows show{known}.",
        )
    if needed == last.n_samples:
        return Finding(
            "samples", "good", f"{needed} samples are enough for these rows, and fewer are not{known}."
        )
    return Finding("samples", "good", f"{needed} samples would be enough for these rows{known}.")


def _p(evidence: Evidence) -> str:
    return "" if evidence.p_value is None else f" (p = {evidence.p_value:.2g})"


def _of_output(score: Score | Difference) -> str:
    return "" if score.output is None else f" of output {score.output}"


def _ends(interval: Interval | None) -> str:
    if interval is None:
        return ""
    return f"({interval.level:.0%} interval {_number(interval.lower)} to {_number(interval.upper)})"


def _percent(interval: Interval) -> str:
    return f"({interval.level:.0%} interval {interval.lower:.1%} to {interval.upper:.1%})"


def _number(value: float) -> str:
    return f"{value:.2g}"
