"""Groups: their names, and their scores."""

import numpy as np
import pytest
import torch

from mcdrop.assessment.groups import group_names
from mcdrop.errors import OptionError, ShapeError
from mcdrop.evaluation import evaluate
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation

PROBS, LABELS = normal(120, 4).softmax(-1), permutation(120) % 4
GROUPS = ["north", "south", "east"] * 40


def test_a_group_has_the_scores_of_its_rows_alone() -> None:
    report = evaluate(FakeClassPrediction(PROBS), LABELS, groups=GROUPS, group_by="region")
    assert [group.group for group in report.groups] == ["east", "north", "south"]
    alone = evaluate(FakeClassPrediction(PROBS[0::3]), LABELS[0::3])
    north = {score.name: score for score in report.groups[1].scores}
    assert report.groups[1].n_rows == 40
    for name in ("accuracy", "nll", "brier", "ece"):
        assert north[name].value == pytest.approx(alone.score(name).value)
        assert north[name].interval == alone.score(name).interval


def test_a_regression_has_groups_too() -> None:
    report = evaluate(
        FakeRegression(normal(40, 120, 1), tau=1.0), normal(120, seed=1), groups=torch.arange(120) % 2
    )
    assert [group.group for group in report.groups] == ["0", "1"]
    assert "coverage" in {score.name for score in report.groups[0].scores}


def test_small_groups_are_noted() -> None:
    notes = evaluate(FakeClassPrediction(PROBS), LABELS, groups=["a"] * 110 + ["b"] * 10).notes
    assert any("fewer than 30 rows: b" in note for note in notes)


def test_a_number_with_many_values_is_cut_into_quarters() -> None:
    names = group_names(np.arange(100.0), rows=100)
    assert sorted(set(names)) == [
        "1: 0 to 24.75",
        "2: 24.75 to 49.5",
        "3: 49.5 to 74.25",
        "4: 74.25 to 99",
    ]
    assert {names.count(name) for name in set(names)} == {25}


def test_a_number_with_few_values_is_its_own_name() -> None:
    assert group_names([1.0, 2.5, 1.0], rows=3) == ["1", "2.5", "1"]


def test_rows_without_a_value_are_a_group() -> None:
    assert group_names(["a", "", "b"], rows=3) == ["a", "missing", "b"]
    assert group_names([1.0, np.nan, 2.0], rows=3) == ["1", "missing", "2"]
    assert group_names(["a", None, "b"], rows=3) == ["a", "missing", "b"]
    assert len(set(group_names([None, *range(100)], rows=101))) == 5
    names = group_names(np.where(np.arange(100) == 7, np.nan, np.arange(100.0)), rows=100)
    assert names[7] == "missing"
    assert len(set(names)) == 5


def test_too_many_groups_are_refused() -> None:
    with pytest.raises(OptionError, match="groups must be at most 100, got 101 different values"):
        group_names([f"row {i}" for i in range(101)], rows=101)


def test_groups_must_fit_the_rows() -> None:
    with pytest.raises(ShapeError, match=r"one value for each of the 120 rows, got shape \(3,\)"):
        evaluate(FakeClassPrediction(PROBS), LABELS, groups=["a", "b", "c"])
