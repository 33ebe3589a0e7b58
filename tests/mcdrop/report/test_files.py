"""Reports on disk."""

import json
import math
from pathlib import Path

import fastjsonschema
import pytest
import torch

from mcdrop.comparison import compare
from mcdrop.errors import DataFileError
from mcdrop.evaluation import evaluate
from mcdrop.report.documents import document_of
from mcdrop.report.files import (
    read_json,
    report_schema,
    write_html,
    write_json,
    write_markdown,
    write_report,
)
from mcdrop.scorecard import Report
from tests.support.predictions import FakeClassPrediction
from tests.support.reports import full_classification, full_regression

REPORT = full_classification()
CERTAIN = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
INFINITE = evaluate(FakeClassPrediction(CERTAIN, deterministic=CERTAIN), torch.ones(10))


@pytest.mark.parametrize("report", [REPORT, full_regression(), INFINITE])
def test_what_was_written_is_read_back(tmp_path: Path, report: Report) -> None:
    path = tmp_path / "report.json"
    write_json(report, path)
    assert read_json(path) == report


@pytest.mark.parametrize("report", [REPORT, full_regression(), INFINITE])
def test_what_was_written_follows_the_schema(report: Report) -> None:
    fastjsonschema.compile(report_schema())(json.loads(report.to_json()))


def test_the_schema_refuses_what_is_no_report() -> None:
    document = json.loads(REPORT.to_json())
    wrong = [
        {**document, "schema_version": 2},
        {**document, "n_rows": "many"},
        {key: value for key, value in document.items() if key != "scores"},
        {**document, "scores": [{"name": "ece"}]},
    ]
    validate = fastjsonschema.compile(report_schema())
    for each in wrong:
        with pytest.raises(fastjsonschema.JsonSchemaValueException):
            validate(each)


def test_an_infinite_score_is_a_word_that_the_schema_knows() -> None:
    assert INFINITE.score("nll").value == math.inf
    assert '"Infinity"' in INFINITE.to_json()


def test_pages_replace_what_was_there_and_leave_nothing_beside_it(tmp_path: Path) -> None:
    document = document_of(REPORT)
    for write, name in ((write_html, "report.html"), (write_markdown, "report.md")):
        (tmp_path / name).write_text("old")
        write(document, str(tmp_path / name))
        assert "ant" in (tmp_path / name).read_text(encoding="utf-8")
    assert {path.name for path in tmp_path.iterdir()} == {"report.html", "report.md"}


def test_the_ending_says_what_is_written(tmp_path: Path) -> None:
    for name, begins in (("r.html", "<!doctype html>"), ("r.md", "#"), ("r.json", "{")):
        write_report(REPORT, tmp_path / name)
        assert (tmp_path / name).read_text(encoding="utf-8").lower().startswith(begins)
    with pytest.raises(DataFileError, match=r"is written as \.html, \.md or \.json, got 'r\.pdf'"):
        write_report(REPORT, tmp_path / "r.pdf")


def test_a_file_that_cannot_be_written_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="cannot be written"):
        write_html(document_of(REPORT), tmp_path / "no" / "report.html")


def test_a_comparison_is_written_as_json(tmp_path: Path) -> None:
    write_json(compare(REPORT, REPORT, names=("a", "b")), tmp_path / "c.json")
    document = json.loads((tmp_path / "c.json").read_text())
    assert document["comparison_version"] == 1
    assert document["paired"] is True


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"no report at .*none\.json"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize(
    "content", ["not json", "[]", "{}", '{"schema_version": 1}', '{"schema_version": 1, "task": 3}']
)
def test_what_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(DataFileError, match="must be a report that mcdrop wrote as JSON"):
        read_json(path)
