"""A document: what is written on a page or in Markdown, of one report or of two side by side."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from mcdrop.assessment.sections import Finding
from mcdrop.comparison import ComparedScore, Comparison
from mcdrop.report.contents import Cell, Section, Table, reading, sections_of, subtitle, title
from mcdrop.report.wording import arrow, ends, number, titled
from mcdrop.scorecard import Report

__all__ = ["Document", "document_of", "document_of_comparison"]


@dataclass(frozen=True)
class Document:
    """What is written.

    Attributes:
        kind: Above the title.
        title: What it is about.
        subtitle: In one line.
        verdict: The findings.
        sections: In order.
        notes: What the reader should know.
        facts: How it was made.
        command: That makes it again; empty if it is not known.
    """

    kind: str
    title: str
    subtitle: str
    verdict: tuple[Finding, ...]
    sections: tuple[Section, ...]
    notes: tuple[str, ...]
    facts: Mapping[str, str] = field(default_factory=dict)
    command: str = ""


def document_of(report: Report) -> Document:
    """The document about one report."""
    facts = {name: value for name, value in report.facts.items() if name != "command"}
    facts["intervals"] = f"{100 * report.level:g} % confidence, calibration errors in {report.bins} bins"
    if report.outcomes_digest is not None:
        facts["digest of the outcomes"] = report.outcomes_digest
    return Document(
        "Calibration report",
        title(report),
        subtitle(report),
        report.verdict,
        sections_of(report),
        report.notes,
        facts,
        report.facts.get("command", ""),
    )


def document_of_comparison(comparison: Comparison) -> Document:
    """The document about two reports."""
    first, second = comparison.names
    table = Table(
        ("score", first, second, "second minus first", f"{comparison.level:.0%} interval", "reading"),
        tuple(_row(comparison, each) for each in comparison.scores),
        "↑ more is better, ↓ less is better. An interval that holds 0 leaves the question open.",
        words=(5,),
    )
    rows = comparison.n_rows[0] if comparison.paired else f"{comparison.n_rows[0]} and {comparison.n_rows[1]}"
    kind = "the same rows" if comparison.paired else "different rows"
    return Document(
        "Comparison of two reports",
        f"{second} against {first}",
        f"{comparison.task}, {rows} rows, {kind}",
        (),
        (Section("scores", "Scores", tables=(table,)),),
        comparison.notes,
    )


def _row(comparison: Comparison, compared: ComparedScore) -> tuple[Cell, ...]:
    first, second, difference = compared.first, compared.second, compared.difference
    name = titled(first.name, first.output, comparison.coverage_level)
    gap = second.value - first.value if difference is None else difference.value
    return (
        Cell(f"{name} {arrow(first.name)}".strip()),
        Cell(number(first.value), ends(first.interval)),
        Cell(number(second.value), ends(second.interval)),
        Cell(number(gap)),
        Cell("" if difference is None else ends(difference.interval)),
        Cell("" if difference is None else reading(difference)),
    )
