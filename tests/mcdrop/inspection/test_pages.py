"""Every kind of finding has its page, and the page says what a reader needs."""

import re
from pathlib import Path

import pytest

from mcdrop.inspection import CATALOGUE
from tests.support.repository import ROOT

FOLDER = ROOT / "docs" / "findings"
SECTIONS = ["Why", "How to see it", "What to do"]


def parts(page: Path) -> dict[str, str]:
    """The text of each section, by its heading."""
    _, *pieces = re.split(r"^## (.*)$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(pieces[::2], (text.strip() for text in pieces[1::2]), strict=True))


def test_there_is_a_page_for_each_code_and_no_other() -> None:
    assert sorted(page.stem for page in FOLDER.glob("*.md")) == sorted(CATALOGUE)


@pytest.mark.parametrize("code", CATALOGUE)
def test_a_page_names_title_why_with_its_source_how_to_see_it_and_what_to_do(code: str) -> None:
    page = FOLDER / f"{code}.md"
    kind = CATALOGUE[code]
    assert page.read_text().startswith(f"# {code}: {kind.title}\n\nSeverity: {kind.severity.word}.\n")
    sections = parts(page)
    assert list(sections) == SECTIONS
    assert re.search(r"^Source: .{20,}", sections["Why"], flags=re.MULTILINE)
    assert all(len(text) > 40 for text in sections.values())


def test_the_guide_links_every_page() -> None:
    guide = (ROOT / "docs" / "doctor.md").read_text()
    assert [code for code in CATALOGUE if f"findings/{code}.md" not in guide] == []
