"""The tables of a model card, in Markdown."""

import csv
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path

from mcdrop.evaluation import Report
from mcdrop.scoring import Score

__all__ = ["rates_table", "score_table", "scores_by_name"]


def scores_by_name(scores: Sequence[Score]) -> dict[str, float]:
    """The scores of a report as plain numbers."""
    return {score.name: score.value for score in scores}


def score_table(reports: Sequence[Report]) -> str:
    """A line for each score of samples and deterministic pass: mean ± standard deviation over the seeds.

    Args:
        reports: One for each training seed, all with the same scores.
    """
    sampled = [scores_by_name(report.scores) for report in reports]
    single = [scores_by_name(report.deterministic) for report in reports]
    lines = [[name, _summary(sampled, name), _summary(single, name)] for name in sampled[0]]
    return _table(["score", "Monte Carlo", "deterministic"], lines)


def _summary(runs: Sequence[Mapping[str, float]], name: str) -> str:
    values = [run[name] for run in runs if name in run]
    return f"{statistics.fmean(values):.4g} ± {statistics.stdev(values):.2g}" if values else ""


def rates_table(path: Path) -> str:
    """The table that `choose_rates` wrote."""
    with path.open(newline="") as file:
        head, *lines = csv.reader(file)
    return _table([name.replace("_", " ") for name in head], lines)


def _table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    rule = ["---"] * len(head)
    return "\n".join(f"| {' | '.join(line)} |" for line in (head, rule, *lines))
