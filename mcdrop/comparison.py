"""Two reports side by side: on the same rows with paired differences, else number beside number.

Rows are the same if the outcomes have the same digest: then row i of one report is row i of the other, and
what makes some rows hard for both cancels.
"""

from dataclasses import asdict, dataclass
from typing import Any, Final

import torch

from mcdrop.assessment.pairs import differences
from mcdrop.assessment.sections import Difference, RowValues
from mcdrop.errors import OptionError
from mcdrop.rowscores import RowScores
from mcdrop.scorecard import Report, as_json
from mcdrop.scoring import Score, ScoreOptions

__all__ = ["ComparedScore", "Comparison", "compare"]

COMPARISON_VERSION: Final = 1


@dataclass(frozen=True)
class ComparedScore:
    """One score of both reports.

    Attributes:
        first: Of the first report.
        second: Of the second.
        difference: Second minus first on the same rows; None for a score that is no mean over rows, or if the
            rows are not the same.
    """

    first: Score
    second: Score
    difference: Difference | None


@dataclass(frozen=True)
class Comparison:
    """Two reports side by side.

    Attributes:
        task: Of both.
        names: What the two are called.
        n_rows: Of each.
        level: Confidence of the intervals.
        coverage_level: Nominal coverage of the intervals that were checked.
        paired: Whether the rows are the same.
        scores: That both have.
        notes: What the reader should know.
    """

    task: str
    names: tuple[str, str]
    n_rows: tuple[int, int]
    level: float
    coverage_level: float
    paired: bool
    scores: tuple[ComparedScore, ...]
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, with `comparison_version`."""
        return {"comparison_version": COMPARISON_VERSION, **asdict(self)}

    def to_json(self) -> str:
        """As JSON, in which infinite numbers are words."""
        return as_json(self.to_dict())


def compare(first: Report, second: Report, *, names: tuple[str, str], seed: int = 0) -> Comparison:
    """Compare two reports of one task.

    Args:
        first: The one that is compared with.
        second: The one whose gain or loss is asked for.
        names: What they are called.
        seed: Of the resampling behind the intervals.

    Returns:
        Their scores side by side, with differences second minus first.

    Raises:
        OptionError: If they are of different tasks.
    """
    if first.task != second.task:
        raise OptionError(
            f"two reports must be of one task to be compared, got {first.task} and {second.task}"
        )
    paired = _same_rows(first, second)
    options = ScoreOptions(level=first.level, seed=seed)
    found = differences(_rows(second), _rows(first), options) if paired else ()
    known = {(each.name, each.output): each for each in found}
    others = {(each.name, each.output): each for each in second.all_scores()}
    scores = tuple(
        ComparedScore(score, others[score.name, score.output], known.get((score.name, score.output)))
        for score in first.all_scores()
        if (score.name, score.output) in others
    )
    return Comparison(
        first.task,
        names,
        (first.n_rows, second.n_rows),
        first.level,
        first.coverage_level,
        paired,
        scores,
        tuple(_notes(first, second, paired=paired)),
    )


def _same_rows(first: Report, second: Report) -> bool:
    same = first.outcomes_digest is not None and first.outcomes_digest == second.outcomes_digest
    return same and bool(first.row_values) and bool(second.row_values)


def _rows(report: Report) -> list[RowScores]:
    return [_row_scores(each) for each in report.row_values]


def _row_scores(values: RowValues) -> RowScores:
    tensor = torch.tensor(values.values, dtype=torch.float64, device="cpu")
    return RowScores(values.name, tensor, values.proportion, values.output)


def _notes(first: Report, second: Report, *, paired: bool) -> list[str]:
    notes = []
    if first.outcomes_digest != second.outcomes_digest:
        notes.append("the outcomes differ: these are not the same rows, and nothing can be paired")
    elif not paired:
        notes.append("the reports hold no scores of single rows, so nothing can be paired")
    if paired:
        notes.append(
            "calibration and ranking errors are no means over rows: their differences have no interval"
        )
    for what in ("coverage_level", "bins"):
        one, other = getattr(first, what), getattr(second, what)
        if one != other:
            notes.append(f"{what.replace('_', ' ')} differs: {one:g} and {other:g}")
    return notes
