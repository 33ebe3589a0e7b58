"""The report as data goes through JSON and back unchanged."""

import json
import math

import pytest
import torch

from mcdrop.errors import OptionError
from mcdrop.evaluation import evaluate
from mcdrop.scorecard import SCHEMA_VERSION, Report
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation

CLASSES = evaluate(FakeClassPrediction(normal(40, 3).softmax(-1)), permutation(40) % 3)
REGRESSION = evaluate(FakeRegression(normal(32, 40, 2), tau=1.0), normal(40, 2, seed=1))
CERTAIN = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
INFINITE = evaluate(FakeClassPrediction(CERTAIN, deterministic=CERTAIN), torch.ones(10))


@pytest.mark.parametrize("report", [CLASSES, REGRESSION, INFINITE], ids=["classes", "regression", "infinite"])
def test_it_goes_through_json_and_back(report: Report) -> None:
    assert Report.from_dict(json.loads(report.to_json())) == report


def test_the_schema_version_comes_first() -> None:
    assert next(iter(CLASSES.to_dict().items())) == ("schema_version", SCHEMA_VERSION)


def test_infinite_scores_are_strings_in_json() -> None:
    nll = next(each for each in json.loads(INFINITE.to_json())["scores"] if each["name"] == "nll")
    assert nll["value"] == "Infinity"
    assert INFINITE.score("nll").value == math.inf


def test_another_schema_version_is_refused() -> None:
    with pytest.raises(OptionError, match="a report must have schema_version 1, got 2"):
        Report.from_dict(CLASSES.to_dict() | {"schema_version": 2})


def test_it_tells_the_verdict_and_every_score_in_a_line_each() -> None:
    lines = repr(REGRESSION).splitlines()
    assert lines[0] == "regression: n = 40 rows, 32 samples, seed 7"
    assert [line.partition(":")[0] for line in lines[1 : 1 + len(REGRESSION.verdict)]] == [
        each.status for each in REGRESSION.verdict
    ]
    assert next(line for line in lines if line.startswith("rmse[1]")).endswith(")")
    assert len(lines) == 1 + len(REGRESSION.verdict) + len(REGRESSION.all_scores()) + len(REGRESSION.notes)
