"""Paired differences."""

import math

import pytest
import torch

from mcdrop.assessment.pairs import differences, share_difference_interval
from mcdrop.rowscores import RowScores
from mcdrop.scoring import ScoreOptions
from tests.support.predictions import normal, uniform
from tests.support.tolerances import monte_carlo

OPTIONS = ScoreOptions()


def test_what_is_common_cancels() -> None:
    common = 10 * normal(200)
    (found,) = differences(
        [RowScores("nll", common + 0.1 * normal(200, seed=1))], [RowScores("nll", common)], OPTIONS
    )
    assert found.interval is not None
    assert found.interval.upper - found.interval.lower < 0.05


def test_the_other_way_round_it_has_the_other_sign() -> None:
    a = [RowScores("brier", uniform(80)), RowScores("accuracy", (uniform(80) < 0.5).double(), True)]
    b = [RowScores("accuracy", (uniform(80) < 0.6).double(), True), RowScores("brier", uniform(80, seed=2))]
    there = {each.name: each for each in differences(a, b, OPTIONS)}
    back = {each.name: each for each in differences(b, a, OPTIONS)}
    for name, found in there.items():
        assert found.value == pytest.approx(-back[name].value)


def test_squared_errors_become_the_difference_of_the_roots() -> None:
    this, other = normal(60).square(), 2 * normal(60, seed=1).square()
    (found,) = differences([RowScores("mse", this)], [RowScores("mse", other)], OPTIONS)
    assert found.name == "rmse"
    assert found.value == pytest.approx(this.mean().sqrt().item() - other.mean().sqrt().item())
    assert found.interval is not None
    assert found.interval.lower < found.value < found.interval.upper


def test_errors_that_are_all_zero_do_not_differ() -> None:
    zeros = [RowScores("mse", torch.zeros(5))]
    assert differences(zeros, zeros, OPTIONS)[0].value == 0


def test_only_scores_that_both_have_are_compared() -> None:
    a, b = [RowScores("nll", uniform(5)), RowScores("crps", uniform(5))], [RowScores("crps", uniform(5))]
    assert [each.name for each in differences(a, b, OPTIONS)] == ["crps"]


def test_two_infinite_scores_are_not_compared() -> None:
    endless = [RowScores("nll", torch.full((5,), math.inf))]
    assert differences(endless, endless, OPTIONS) == ()
    (found,) = differences(endless, [RowScores("nll", torch.ones(5))], OPTIONS)
    assert (found.value, found.interval) == (math.inf, None)


def test_equal_hits_still_leave_an_interval() -> None:
    interval = share_difference_interval(0, 0, 100, level=0.95)
    assert interval.lower == pytest.approx(-interval.upper)
    assert interval.upper == pytest.approx(1.96 * math.sqrt(2 / 102 / 102), rel=1e-3)


def test_the_interval_of_shares_covers() -> None:
    """Rows that only one of the two has right: 8 % and 5 %."""
    trials, covered = 2000, 0
    for row in uniform(trials, 60):
        gained, lost = int((row < 0.08).sum()), int(((row >= 0.08) & (row < 0.13)).sum())
        interval = share_difference_interval(gained, lost, 60, level=0.95)
        covered += interval.lower <= 0.03 <= interval.upper
    assert covered / trials >= 0.95 - monte_carlo(trials, scale=0.22)
