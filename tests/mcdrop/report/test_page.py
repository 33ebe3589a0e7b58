"""The page: one file, nothing to run, nothing to fetch, names as text, everything in it."""

import re
from html.parser import HTMLParser

import pytest

from mcdrop.comparison import compare
from mcdrop.report.documents import document_of, document_of_comparison
from mcdrop.report.page import render_page
from mcdrop.scorecard import Report
from tests.support.reports import HOSTILE, full_classification, full_regression

CLASSES, NUMBERS = full_classification(), full_regression()


class Reader(HTMLParser):
    """Tags and their attributes, and the text between them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("report", [CLASSES, NUMBERS, full_classification(hostile=True)])
def test_it_runs_nothing_and_asks_for_nothing(report: Report) -> None:
    page = render_page(document_of(report))
    reader = Reader(page)
    assert not {"script", "img", "iframe", "object", "embed", "form"} & {tag for tag, _ in reader.tags}
    for _, attributes in reader.tags:
        assert not [name for name in attributes if name.startswith("on")]
        for name in ("src", "href", "action", "data"):
            assert attributes.get(name) in {None, "data:,"}
    style = page.partition("<style>")[2].partition("</style>")[0]
    assert not re.search(r"url\(|@import|expression", style)
    policy = next(a["content"] for tag, a in reader.tags if a.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none'")
    assert len(page.encode()) < 2_000_000


def test_hostile_names_are_text() -> None:
    page = render_page(document_of(full_classification(hostile=True)))
    assert "<script" not in page
    assert Reader(page).text.count(HOSTILE) >= 4  # title, heading, group, class


def test_every_section_has_what_the_report_holds() -> None:
    text = Reader(render_page(document_of(CLASSES))).text
    for finding in CLASSES.verdict:
        assert finding.text in text
    for title in (
        "Scores",
        "Calibration",
        "Differences on the same rows",
        "Which rows to answer",
        "What the uncertainty is made of",
        "By ant",
        "Rows from elsewhere",
        "Rows to look at",
        "What to know before relying on it",
        "How it was made",
    ):
        assert title in text
    assert CLASSES.outcomes_digest is not None
    assert CLASSES.outcomes_digest in text
    assert CLASSES.facts["command"] in text
    for note in CLASSES.notes:
        assert note in text


def test_every_cell_of_a_table_has_its_label_for_narrow_windows() -> None:
    cells = [attributes for tag, attributes in Reader(render_page(document_of(CLASSES))).tags if tag == "td"]
    assert cells
    assert all(cell["data-label"] for cell in cells)


def test_two_reports_have_a_page_too() -> None:
    found = compare(CLASSES, CLASSES, names=("a.json", HOSTILE))
    text = Reader(render_page(document_of_comparison(found))).text
    assert f"{HOSTILE} against a.json" in text
    assert "the same rows" in text
