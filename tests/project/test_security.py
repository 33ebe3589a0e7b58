"""docs/security.md: every promise of the checklist has its row, and every test that it names exists."""

import re

import pytest

from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = re.findall(r"`(tests/[\w/.]+?)(?:::(\w+))?`", PAGE)


@pytest.mark.parametrize("promise", [f"S{number}" for number in range(1, 12)])
def test_every_promise_against_hostile_input_names_a_test(promise: str) -> None:
    (row,) = [line for line in PAGE.splitlines() if line.startswith(f"| **{promise}** ")]
    assert "`tests/" in row


@pytest.mark.parametrize(("path", "name"), NAMED)
def test_a_test_that_the_page_names_exists(path: str, name: str) -> None:
    assert (ROOT / path).exists()
    assert not name or f"def {name}(" in (ROOT / path).read_text()
