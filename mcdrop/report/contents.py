"""What a page of the report contains, whatever it is written in: sections of tables and charts, in order."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from mcdrop.assessment.sections import Difference, RowFact
from mcdrop.charts.listing import charts_of
from mcdrop.charts.marks import Chart
from mcdrop.report.wording import (
    EXPLAINED,
    PART_TITLES,
    TITLES,
    arrow,
    ends,
    number,
    percent,
    percents,
    sampled_title,
    score_title,
    title_of,
)
from mcdrop.scorecard import Report
from mcdrop.scoring import Score

__all__ = ["Cell", "Section", "Table", "reading", "sections_of", "subtitle", "title"]

_NUMBERS: Final = frozenset({"regression", "heteroscedastic"})


@dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: In it.
        note: In small letters below it.
    """

    text: str
    note: str = ""


@dataclass(frozen=True)
class Table:
    """A table; the first column names the rows.

    Attributes:
        head: Titles of the columns.
        rows: Cells, as many in each row as there are titles.
        caption: Below it.
        title: Above it.
        words: Numbers of the columns that hold words, which are written from the left; the first always does.
    """

    head: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    caption: str = ""
    title: str = ""
    words: tuple[int, ...] = ()


@dataclass(frozen=True)
class Section:
    """One part of the page.

    Attributes:
        name: For links.
        title: Of it.
        lead: One paragraph.
        charts: Side by side.
        tables: Below them.
    """

    name: str
    title: str
    lead: str = ""
    charts: tuple[Chart, ...] = ()
    tables: tuple[Table, ...] = ()


def title(report: Report) -> str:
    """What the page is about."""
    return report.facts.get("model", f"A {report.task}")


def subtitle(report: Report) -> str:
    """Task, rows and samples in one line."""
    return f"{report.task}, {report.n_rows} rows, {report.sampled}"


def sections_of(report: Report) -> tuple[Section, ...]:
    """The sections that have something in them."""
    charts = charts_of(report)
    made = (
        _scores(report),
        _calibration(report, charts),
        _comparisons(report),
        _risk(report, charts),
        _samples(report, charts),
        _uncertainty(report),
        _groups(report),
        _elsewhere(report, charts),
        _rows(report),
    )
    return tuple(section for section in made if section.charts or section.tables)


def _scores(report: Report) -> Section:
    rows = report.all_scores()
    columns = [
        (title, {(each.name, each.output): each for each in scores})
        for title, scores in (
            ("deterministic", report.deterministic + report.further_deterministic),
            ("before calibration", report.before),
        )
        if scores
    ]
    expected = any(score.reference is not None for score in rows)
    name = sampled_title(report)
    head = ("score", name, f"{report.level:.0%} interval", *(title for title, _ in columns))
    table = Table(
        head + (("if calibrated",) if expected else ()),
        tuple(
            _score_row(report, score, [known for _, known in columns], expected=expected) for score in rows
        ),
        "↑ more is better, ↓ less is better. “If calibrated”: what a calibrated prediction would have on "
        "average on as many rows; calibration errors are never exactly 0."
        if expected
        else "↑ more is better, ↓ less is better.",
    )
    return Section("scores", "Scores", tables=(table,))


def _score_row(
    report: Report, score: Score, columns: Sequence[dict[tuple[str, int | None], Score]], *, expected: bool
) -> tuple[Cell, ...]:
    name = Cell(f"{score_title(report, score)} {arrow(score.name)}".strip(), EXPLAINED[score.name])
    others = [known.get((score.name, score.output)) for known in columns]
    cells = [
        number(score.value),
        ends(score.interval),
        *(number(None if each is None else each.value) for each in others),
    ]
    cells += [number(score.reference)] if expected else []
    return (name, *map(Cell, cells))


def _calibration(report: Report, charts: Sequence[Chart]) -> Section:
    p = report.calibration_p_value
    lead = "" if p is None else f"Test of the hypothesis that the prediction is calibrated: p = {p:.2g}."
    names = {"calibration", "confidence", "pit", "widths", "spreads"}
    return Section("calibration", "Calibration", lead, _named(charts, names))


def _comparisons(report: Report) -> Section:
    found = (
        ("Monte Carlo minus deterministic", report.against_deterministic),
        ("calibrated minus before", report.against_before),
    )
    return Section(
        "comparisons",
        "Differences on the same rows",
        "What is common to both cancels: these intervals tell more than two intervals side by side. One that "
        "holds 0 leaves the question open.",
        tables=tuple(_differences(what, rows, report.level) for what, rows in found if rows),
    )


def _differences(what: str, rows: Sequence[Difference], level: float) -> Table:
    return Table(
        ("score", what, f"{level:.0%} interval", "reading"),
        tuple(
            (
                Cell(f"{title_of(each.name, each.output)} {arrow(each.name)}".strip()),
                Cell(number(each.value)),
                Cell(ends(each.interval)),
                Cell(reading(each)),
            )
            for each in rows
        ),
        words=(3,),
    )


def reading(difference: Difference) -> str:
    """Whether a difference is for better or for worse, if its interval tells."""
    better = arrow(difference.name)
    if difference.interval is None or not better or difference.name == "width":  # the price of coverage
        return ""
    if difference.interval.lower <= 0 <= difference.interval.upper:
        return "open"
    return "better" if (difference.value > 0) == (better == "↑") else "worse"


def _risk(report: Report, charts: Sequence[Chart]) -> Section:
    numbers = report.task in _NUMBERS
    rows = tuple(
        (
            Cell(percent(each.coverage), f"{each.count} rows"),
            Cell(number(each.threshold)),
            Cell(number(each.risk) if numbers else percent(each.risk)),
            Cell(ends(each.interval) if numbers else percents(each.interval)),
        )
        for each in report.choices
    )
    table = Table(
        (
            "answered",
            "uncertainty up to",
            "mean absolute error" if numbers else "errors among them",
            f"{report.level:.0%} interval",
        ),
        rows,
        "The intervals hold for a threshold that was fixed beforehand. A threshold chosen on these rows "
        "promises nothing for others: that is what a fitted selective threshold is for.",
    )
    what = "standard deviation" if numbers else "predictive entropy, in nats"
    return Section(
        "risk",
        "Which rows to answer",
        f"Rows in the order of their uncertainty ({what}).",
        _named(charts, {"risk"}),
        (table,) if rows else (),
    )


def _samples(report: Report, charts: Sequence[Chart]) -> Section:
    rows = tuple(
        (
            Cell(str(each.n_samples)),
            Cell(TITLES[each.name]),
            Cell(number(each.value)),
            Cell(number(each.standard_error)),
        )
        for each in report.samples
    )
    table = Table(("samples", "score", "value", "Monte Carlo error"), rows, words=(1,))
    names = {chart.name for chart in charts if chart.name.startswith("samples_")}
    return Section(
        "samples",
        "How many samples",
        "The first k samples of this run are exactly what a run of k gives. The Monte Carlo error is the "
        "spread of disjoint runs of that length within this one.",
        _named(charts, names),
        (table,) if rows else (),
    )


def _uncertainty(report: Report) -> Section:
    classes = any(part.right is not None or part.wrong is not None for part in report.uncertainty)
    head = ("part", "mean", "median", "90 % point") + (("right rows", "wrong rows") if classes else ())
    rows = tuple(
        tuple(
            map(
                Cell,
                (PART_TITLES[part.name], number(part.mean), number(part.median), number(part.high))
                + ((number(part.right), number(part.wrong)) if classes else ()),
            )
        )
        for part in report.uncertainty
    )
    unit = "Nats." if report.task not in _NUMBERS else "Standard deviations, in units of the output."
    return Section(
        "uncertainty",
        "What the uncertainty is made of",
        "The aleatoric part lies in the data and stays; the epistemic part is what the sampled networks "
        "disagree about, and more data could lessen it.",
        tables=(Table(head, rows, unit),) if rows else (),
    )


def _groups(report: Report) -> Section:
    if not report.groups:
        return Section("groups", "By group")
    titles = [title_of(each.name, each.output) for each in report.groups[0].scores]
    rows = tuple(
        (Cell(group.group, f"{group.n_rows} rows"), *(_group_cell(score) for score in group.scores))
        for group in report.groups
    )
    return Section(
        "groups",
        f"By {report.group_by or 'group'}",
        "Calibrated on average may be wrong for a part. Among many groups one looks bad by chance: with "
        f"{len(rows)} groups, about {len(rows) * (1 - report.level):.2g} intervals miss.",
        tables=(Table((report.group_by or "group", *titles), rows),),
    )


def _group_cell(score: Score) -> Cell:
    return Cell(number(score.value), ends(score.interval))


def _elsewhere(report: Report, charts: Sequence[Chart]) -> Section:
    rows = tuple(
        (
            Cell(PART_TITLES[each.measure]),
            Cell(number(each.auroc), ends(each.interval)),
            Cell(percent(each.fpr95), percents(each.fpr95_interval)),
        )
        for each in report.elsewhere
    )
    table = Table(
        ("measure", "AUROC ↑", "FPR95 ↓"),
        rows,
        "FPR95: share of the rows from elsewhere that are taken in when 95 % of the others are. The baseline "
        "is one pass without dropout: where it does as well, sampling adds nothing here.",
    )
    return Section(
        "elsewhere",
        "Rows from elsewhere",
        "",
        _named(charts, {"elsewhere"}),
        (table,) if rows else (),
    )


def _rows(report: Report) -> Section:
    uncertain = [each for each in report.rows if each.reason == "uncertain"]
    wrong = [each for each in report.rows if each.reason == "wrong"]
    numbers = report.task in _NUMBERS
    worst = "Most standard deviations away" if numbers else "Most confidently wrong"
    tables = (("Most uncertain", uncertain), (worst, wrong))
    return Section(
        "rows",
        "Rows to look at",
        "Numbered from 0, in the order of the data.",
        tables=tuple(_row_table(title, rows) for title, rows in tables if rows),
    )


def _row_table(title: str, rows: Sequence[RowFact]) -> Table:
    confident = any(row.confidence is not None for row in rows)
    own = any(row.epistemic is not None for row in rows)
    return Table(
        ("row", "observed", "predicted")
        + (("its probability",) if confident else ())
        + ("uncertainty",)
        + (("of it epistemic",) if own else ()),
        tuple(tuple(map(Cell, _row_cells(row, confident=confident, own=own))) for row in rows),
        title=title,
        words=(1, 2),
    )


def _row_cells(row: RowFact, *, confident: bool, own: bool) -> Iterator[str]:
    yield from (str(row.row), row.outcome, row.prediction)
    if confident:
        yield "" if row.confidence is None else percent(row.confidence)
    yield number(row.uncertainty)
    if own:
        yield number(row.epistemic)


def _named(charts: Sequence[Chart], names: set[str]) -> tuple[Chart, ...]:
    return tuple(chart for chart in charts if chart.name in names and _drawable(chart))


def _drawable(chart: Chart) -> bool:
    return all(map(math.isfinite, (chart.x.low, chart.x.high, chart.y.low, chart.y.high)))
