"""The report as Markdown: the same sections as the page, without its figures."""

import re
from collections.abc import Iterator
from typing import Final

from mcdrop.report.contents import Section, Table
from mcdrop.report.documents import Document

__all__ = ["render_markdown"]

_MARKS: Final = {"good": "✓", "bad": "✗", "open": "?"}
_SPECIAL: Final = re.compile(r"([\\`*_{}\[\]<>#|!~$&])")


def render_markdown(document: Document) -> str:
    """A document as Markdown.

    Args:
        document: About one report, or about two.

    Returns:
        The text; what stands in it as data is escaped.
    """
    return "\n".join(_lines(document)) + "\n"


def _lines(document: Document) -> Iterator[str]:
    yield from (f"# {_plain(document.kind)}: {_plain(document.title)}", "", _plain(document.subtitle))
    if document.verdict:
        yield ""
    for finding in document.verdict:
        yield f"- {_MARKS[finding.status]} {_plain(finding.text)}"
    for section in document.sections:
        yield from _section(section)
    if document.notes:
        yield from ("", "## What to know before relying on it", "")
        yield from (f"- {_plain(note)}" for note in document.notes)
    if document.facts:
        yield from _facts(document)


def _section(section: Section) -> Iterator[str]:
    if not section.tables:
        return
    yield from ("", f"## {_plain(section.title)}")
    if section.lead:
        yield from ("", _plain(section.lead))
    for table in section.tables:
        if table.title:
            yield from ("", f"### {_plain(table.title)}")
        yield from ("", *_table(table))
        if table.caption:
            yield from ("", _plain(table.caption))


def _table(table: Table) -> Iterator[str]:
    yield f"| {' | '.join(map(_plain, table.head))} |"
    left = {0, *table.words}
    yield f"| {' | '.join('---' if i in left else '---:' for i in range(len(table.head)))} |"
    for row in table.rows:
        first, *others = row
        # the small print of a score explains it, which a reader of the table needs once: it is on the page
        cells = [_plain(first.text), *(_cell(cell.text, cell.note) for cell in others)]
        yield f"| {' | '.join(cells)} |"


def _cell(text: str, note: str) -> str:
    return _plain(f"{text} ({note})" if note else text)


def _facts(document: Document) -> Iterator[str]:
    yield from ("", "## How it was made", "")
    for name, value in document.facts.items():
        yield f"- {_plain(name)}: {_plain(value)}"
    if document.command:
        yield from ("", "The same report again:", "", *_code(document.command))


def _code(text: str) -> Iterator[str]:
    """An indented block, which nothing in the text can end."""
    return (f"    {line}" for line in text.splitlines())


def _plain(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", " ".join(text.split()))
