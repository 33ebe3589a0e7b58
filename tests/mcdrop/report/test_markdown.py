"""The report as Markdown."""

from mcdrop.report.documents import document_of
from mcdrop.report.markdown import render_markdown
from tests.support.reports import full_classification, full_regression

CLASSES = full_classification()


def test_it_holds_verdict_scores_notes_and_command() -> None:
    text = render_markdown(document_of(CLASSES))
    assert text.startswith("# Calibration report: ant\n")
    for part in ("## Scores", "## Rows to look at", "### Most uncertain", "## How it was made"):
        assert part in text
    assert "    mcdrop report 'ant'" in text
    assert f"{CLASSES.score('accuracy').value:.4g}" in text


def test_every_row_of_a_table_has_as_many_cells_as_its_head() -> None:
    for report in (CLASSES, full_regression(), full_classification(hostile=True)):
        counts: set[int] = set()
        for line in render_markdown(document_of(report)).splitlines():
            if not line.startswith("|"):
                counts.clear()
                continue
            counts.add(line.replace("\\|", "").count("|"))
            assert len(counts) == 1, line


def test_markup_in_names_is_escaped() -> None:
    text = render_markdown(document_of(full_classification(hostile=True)))
    for line in text.splitlines():
        if not line.startswith("    "):  # the command is a block of code
            assert "<script" not in line.replace("\\<", "")
