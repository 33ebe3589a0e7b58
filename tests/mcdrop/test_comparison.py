"""Two reports side by side."""

import pytest

from mcdrop.comparison import Comparison, compare
from mcdrop.errors import OptionError
from mcdrop.evaluation import evaluate
from mcdrop.scorecard import Report
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation

Y = permutation(120) % 4
GOOD = (normal(120, 4) + 2 * (Y.unsqueeze(-1) == permutation(4).sort().values)).softmax(-1)
POOR = normal(120, 4, seed=1).softmax(-1)


def of(first: Report, second: Report) -> Comparison:
    return compare(first, second, names=("a", "b"))


def test_on_the_same_rows_differences_are_paired() -> None:
    found = of(evaluate(FakeClassPrediction(POOR), Y), evaluate(FakeClassPrediction(GOOD), Y))
    assert found.paired
    by_name = {each.first.name: each for each in found.scores}
    nll = by_name["nll"].difference
    assert nll is not None
    assert nll.interval is not None
    assert nll.value == pytest.approx(by_name["nll"].second.value - by_name["nll"].first.value)
    assert nll.interval.upper < 0
    assert by_name["ece"].difference is None


def test_it_agrees_with_the_differences_in_one_report() -> None:
    one = evaluate(FakeClassPrediction(GOOD, deterministic=POOR), Y)
    two = of(evaluate(FakeClassPrediction(POOR), Y), evaluate(FakeClassPrediction(GOOD), Y))
    inside = {each.name: each for each in one.against_deterministic}
    for each in two.scores:
        if each.difference is not None:
            assert each.difference == inside[each.first.name]


def test_on_other_rows_nothing_is_paired() -> None:
    found = of(evaluate(FakeClassPrediction(GOOD), Y), evaluate(FakeClassPrediction(GOOD), Y.flip(0)))
    assert not found.paired
    assert all(each.difference is None for each in found.scores)
    assert "not the same rows" in found.notes[0]


def test_squared_errors_are_compared_as_their_roots() -> None:
    samples, y = normal(32, 60, 1), normal(60, seed=1)
    found = of(
        evaluate(FakeRegression(samples, tau=1.0), y), evaluate(FakeRegression(2 * samples, tau=1.0), y)
    )
    rmse = next(each for each in found.scores if each.first.name == "rmse")
    assert rmse.difference is not None
    assert rmse.difference.value == pytest.approx(rmse.second.value - rmse.first.value)


def test_other_settings_are_noted() -> None:
    found = of(
        evaluate(FakeClassPrediction(GOOD), Y, bins=5), evaluate(FakeClassPrediction(GOOD), Y, bins=15)
    )
    assert "bins differs: 5 and 15" in found.notes


def test_two_tasks_cannot_be_compared() -> None:
    numbers = evaluate(FakeRegression(normal(32, 60, 1)), normal(60, seed=1))
    with pytest.raises(OptionError, match="of one task to be compared, got classification and regression"):
        of(evaluate(FakeClassPrediction(GOOD), Y), numbers)
