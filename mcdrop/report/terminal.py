"""The report in a terminal: the verdict, one table, then what the reader should know."""

from collections.abc import Sequence
from typing import Final

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mcdrop.comparison import Comparison
from mcdrop.report.wording import (
    arrow,
    ends,
    number,
    percent,
    percents,
    sampled_title,
    score_title,
    title_of,
    titled,
)
from mcdrop.scorecard import Report
from mcdrop.scoring import Score

__all__ = ["render", "render_comparison"]

_STYLES: Final = {"good": "green", "bad": "yellow", "open": ""}
_MARKS: Final = {"good": "✓", "bad": "✗", "open": "?"}


def render(report: Report) -> RenderableType:
    """The report for a rich console.

    Args:
        report: What was found.

    Returns:
        Facts, the verdict, the table of scores (Monte Carlo with interval beside deterministic), groups and
        rows from elsewhere if there are any, and the notes.
    """
    tables = (*_groups(report), *_elsewhere(report))
    return Group(_facts(report), *_verdict(report), _table(report), *tables, *_notes(report))


def render_comparison(comparison: Comparison) -> RenderableType:
    """Two reports side by side, for a rich console."""
    first, second = comparison.names
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("score", no_wrap=True)
    table.add_column("")
    for title in (first, second, "difference", f"{comparison.level:.0%} interval"):
        table.add_column(Text(title), justify="right")
    for each in comparison.scores:
        name = titled(each.first.name, each.first.output, comparison.coverage_level)
        gap = each.second.value - each.first.value if each.difference is None else each.difference.value
        interval = "" if each.difference is None else ends(each.difference.interval)
        values = (number(each.first.value), number(each.second.value), number(gap), interval)
        table.add_row(name, arrow(each.first.name), *values)
    same = "the same rows" if comparison.paired else "different rows"
    counts = comparison.n_rows[0] if comparison.paired else " and ".join(map(str, comparison.n_rows))
    facts = Text(f"{comparison.task}: n = {counts}, {same}; differences are second minus first", style="bold")
    return Group(facts, table, *(Text(f"note: {note}", style="dim") for note in comparison.notes))


def _facts(report: Report) -> Text:
    return Text(f"{report.task}: n = {report.n_rows} rows, {report.sampled}", style="bold")


def _verdict(report: Report) -> list[Text]:
    return [Text(f"{_MARKS[each.status]} {each.text}", style=_STYLES[each.status]) for each in report.verdict]


def _table(report: Report) -> Table:
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("score")
    table.add_column("")
    table.add_column(sampled_title(report), justify="right")
    table.add_column(f"{report.level:.0%} interval", justify="right")
    for others, title in ((report.deterministic, "deterministic"), (report.before, "before")):
        if others:
            table.add_column(title, justify="right")
    for scores in (report.scores, report.further):
        for score in scores:
            table.add_row(*_cells(report, score, _columns(report)))
        table.add_section()
    return table


def _columns(report: Report) -> list[Sequence[Score]]:
    single = report.deterministic + report.further_deterministic
    return [others for others in (single if report.deterministic else (), report.before) if others]


def _cells(report: Report, score: Score, others: Sequence[Sequence[Score]]) -> list[str]:
    cells = [score_title(report, score), arrow(score.name), number(score.value), ends(score.interval)]
    return cells + [_same(score, column) for column in others]


def _same(score: Score, column: Sequence[Score]) -> str:
    found = (each.value for each in column if (each.name, each.output) == (score.name, score.output))
    return number(next(found, None))


def _groups(report: Report) -> list[RenderableType]:
    if not report.groups:
        return []
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column(Text(report.group_by or "group"))
    table.add_column("rows", justify="right")
    names = [(each.name, each.output) for each in report.groups[0].scores]
    for name, output in names:
        table.add_column(title_of(name, output), justify="right")
    for group in report.groups:
        values = {(each.name, each.output): each.value for each in group.scores}
        table.add_row(Text(group.group), str(group.n_rows), *(number(values.get(key)) for key in names))
    return [Text(), table]


def _elsewhere(report: Report) -> list[RenderableType]:
    if not report.elsewhere:
        return []
    table = Table(show_edge=False, pad_edge=False, header_style="bold")
    table.add_column("rows from elsewhere")
    for head in ("AUROC ↑", f"{report.level:.0%} interval", "FPR95 ↓", f"{report.level:.0%} interval"):
        table.add_column(head, justify="right")
    for each in report.elsewhere:
        cells = number(each.auroc), ends(each.interval), percent(each.fpr95), percents(each.fpr95_interval)
        table.add_row(each.measure.replace("_", " "), *cells)
    return [Text(), table]


def _notes(report: Report) -> list[Text]:
    return [Text(f"note: {note}", style="dim") for note in report.notes]
