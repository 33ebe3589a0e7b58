"""The pages of the repository: their links lead somewhere, and what they name exists."""

import re
from pathlib import Path

import pytest

from tests.support.markdown import links
from tests.support.repository import ROOT, anchors, pages

README = (ROOT / "README.md").read_text()
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
MAKEFILE = (ROOT / "Makefile").read_text()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_resolve(page: Path) -> None:
    for link in links(page):
        if not link.startswith(("https://", "mailto:")):
            path, _, anchor = link.partition("#")
            target = page.parent / path if path else page
            assert target.exists(), link
            assert not anchor or anchor in anchors(target), link


@pytest.mark.parametrize("word", ["make serve", "make test", "PIP_EXTRA_INDEX_URL", "MKL_CBWR", "LICENSE"])
def test_the_readme_says_what_a_new_user_must_know(word: str) -> None:
    assert word in README


def test_every_make_target_that_a_page_names_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, flags=re.MULTILINE))
    named = {target for page in pages() for target in re.findall(r"`make ([a-z-]+)", page.read_text())}
    assert named <= targets


def test_every_test_that_the_promises_name_exists() -> None:
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", README)
    for path, name in named:
        assert (ROOT / path).is_file(), path
        assert f"def {name}" in (ROOT / path).read_text(), name


def test_contributing_names_files_that_exist() -> None:
    named = set(re.findall(r"`((?:mcdrop|tests|service)/[\w/.]+)`", CONTRIBUTING))
    assert [path for path in named if not (ROOT / path).exists()] == []


def test_the_changelog_keeps_what_is_not_released_at_its_top() -> None:
    headings = re.findall(r"^## (.*)$", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)
    assert headings[0] == "[Unreleased]"
