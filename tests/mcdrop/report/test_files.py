"""Reports on disk."""

from pathlib import Path

import pytest

from mcdrop.errors import DataFileError
from mcdrop.evaluation import evaluate
from mcdrop.report.files import read_json, write_json
from tests.support.predictions import FakeClassPrediction, normal, permutation

REPORT = evaluate(FakeClassPrediction(normal(40, 3).softmax(-1)), permutation(40) % 3)


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "report.json"
    write_json(REPORT, path)
    assert read_json(path) == REPORT


def test_a_missing_file_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"no report at .*none\.json"):
        read_json(tmp_path / "none.json")


@pytest.mark.parametrize("content", ["not json", "[]", "{}", '{"schema_version": 1}'])
def test_what_is_no_report_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(content)
    with pytest.raises(DataFileError, match="must be a report that mcdrop wrote as JSON"):
        read_json(path)
