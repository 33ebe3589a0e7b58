"""The table of docs/calibration.md is that of the benchmark, which tells shared rows from others."""

import pytest

from benchmarks import shared_rows
from tests.support.repository import ROOT


def test_maps_that_follow_their_rows_break_a_promise_about_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shared_rows, "TRIALS", 8)
    same, _ = shared_rows.held(shared_rows.isotonic, shared_rows.classes, 200, shared=True)
    others, _ = shared_rows.held(shared_rows.isotonic, shared_rows.classes, 200, shared=False)
    assert same < 0.84
    assert 0.87 < others < 0.93


def test_the_page_shows_every_line_of_the_table() -> None:
    page = (ROOT / "docs" / "calibration.md").read_text()
    for method in ("temperature", "vector", "isotonic", "std-levels", "quantiles"):
        assert f"| `{method}` |" in page.split("| behind |")[1]
        assert callable(getattr(shared_rows, method.replace("-", "_")))
