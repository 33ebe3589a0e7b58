"""The report in a terminal: one table, then what the reader should know."""

from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mcdrop.intervals import Interval
from mcdrop.scorecard import Report
from mcdrop.scoring import HIGHER_IS_BETTER, Score

__all__ = ["render"]

_TITLES: Final = {
    "accuracy": "accuracy",
    "brier": "Brier score",
    "coverage": "coverage",
    "crps": "CRPS",
    "ece": "ECE",
    "ece_l2": "ECE, L2 debiased",
    "mae": "MAE",
    "nll": "NLL (nats)",
    "qce": "quantile calibration error",
    "rmse": "RMSE",
    "width": "interval width",
}
_BETTER: Final = {True: "↑", False: "↓"}


def render(report: Report) -> RenderableType:
    """The report for a rich console.

    Args:
        report: What was found.

    Returns:
        Facts, the table of scores (Monte Carlo with interval beside deterministic), the verdict and the
        notes.
    """
    return Group(_facts(report), _table(report), *_verdict(report), *_notes(report))


def _facts(report: Report) -> Text:
    return Text(
        f"{report.task}: n = {report.n_rows} rows, {report.n_samples} samples, seed {report.seed}",
        style="bold",
    )


def _table(report: Report) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("score")
    table.add_column("")
    table.add_column("MC dropout", justify="right")
    table.add_column(f"{report.level:.0%} interval", justify="right")
    if report.deterministic:
        table.add_column("deterministic", justify="right")
    single = {(score.name, score.output): score for score in report.deterministic}
    for score in report.scores:
        table.add_row(*_cells(report, score, single.get((score.name, score.output))))
    return table


def _cells(report: Report, score: Score, single: Score | None) -> list[str]:
    arrow = _BETTER[score.name in HIGHER_IS_BETTER]
    cells = [_title(report, score), "" if score.name == "coverage" else arrow, _number(score.value)]
    cells.append("" if score.interval is None else _ends(score.interval))
    if report.deterministic:
        cells.append("" if single is None else _number(single.value))
    return cells


def _title(report: Report, score: Score) -> str:
    title = _TITLES[score.name]
    if score.name in {"coverage", "width"}:
        title = f"{title} at {report.coverage_level:.0%}"
    return title if score.output is None else f"{title} [{score.output}]"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _ends(interval: Interval) -> str:
    return f"{_number(interval.lower)} to {_number(interval.upper)}"


def _verdict(report: Report) -> list[Text]:
    p = report.calibration_p_value
    if p is None:
        return []
    if p < 1 - report.level:
        return [Text(f"not calibrated (p = {p:.2g})", style="yellow")]
    return [Text(f"no sign of miscalibration in these rows (p = {p:.2g})", style="green")]


def _notes(report: Report) -> list[Text]:
    return [Text(f"note: {note}", style="dim") for note in report.notes]
