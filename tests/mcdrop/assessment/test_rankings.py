"""Ranking scores, their intervals, and thresholds."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.assessment.rankings import _areas, _steps, ranking_scores, risk_points, threshold_choices
from mcdrop.metrics import ranking
from mcdrop.scoring import ScoreOptions
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64, monte_carlo

OPTIONS = ScoreOptions()
UNCERTAINTY = uniform(200)
ERROR = (uniform(200, seed=1) < UNCERTAINTY * 0.5).double()


@given(st.integers(0, 2**31), st.integers(2, 9))
def test_the_resampled_areas_are_those_of_the_metrics(seed: int, levels: int) -> None:
    """A resample with every case once is the data: with ties, all four areas agree."""
    uncertainty = (uniform(30, seed=seed) * levels).floor()
    error = (uniform(30, seed=seed + 1) < 0.4).double()
    if not 0 < error.sum() < 30:
        return
    _, inverse = torch.unique(uncertainty, return_inverse=True)
    areas = _areas(_steps(torch.ones(1, 30, dtype=torch.float64), inverse, error))
    expected = {
        "error_auroc": ranking.auroc(uncertainty, error),
        "error_aupr": ranking.average_precision(uncertainty, error),
        "aurc": ranking.area_under_risk_coverage(uncertainty, error),
        "augrc": ranking.area_under_generalized_risk_coverage(uncertainty, error),
    }
    for name, value in expected.items():
        torch.testing.assert_close(areas[name][0], value, **FLOAT64)


def test_every_value_lies_in_its_interval() -> None:
    for score in ranking_scores(UNCERTAINTY, ERROR, OPTIONS, events=True):
        assert score.interval is not None
        assert score.interval.lower <= score.value <= score.interval.upper


def test_the_interval_of_the_auroc_covers() -> None:
    covered = []
    for seed in range(60):
        wrong, right = normal(30, seed=seed) + 1, normal(70, seed=seed + 1000)
        scores = ranking_scores(
            torch.cat([wrong, right]), torch.cat([torch.ones(30), torch.zeros(70)]), OPTIONS, events=True
        )
        interval = scores[0].interval
        assert interval is not None
        covered.append(interval.lower <= 0.7602 <= interval.upper)  # ndtr(1 / sqrt(2))
    assert sum(covered) / 60 >= 0.93 - monte_carlo(60, scale=0.25)


def test_without_errors_there_is_no_auroc() -> None:
    names = [score.name for score in ranking_scores(UNCERTAINTY, torch.zeros(200), OPTIONS, events=True)]
    assert names == ["aurc", "augrc"]


def test_cases_that_are_not_rows_have_no_interval() -> None:
    scores = ranking_scores(UNCERTAINTY, ERROR, OPTIONS, events=True, independent=False)
    assert all(score.interval is None for score in scores)


def test_distances_are_ranked_without_events() -> None:
    scores = ranking_scores(UNCERTAINTY, normal(200).abs(), OPTIONS, events=False)
    assert [score.name for score in scores] == ["aurc", "augrc"]


def test_an_infinite_loss_is_not_ranked() -> None:
    assert ranking_scores(UNCERTAINTY[:2], torch.tensor([1.0, torch.inf]), OPTIONS, events=False) == ()


def test_the_curve_ends_with_all_rows() -> None:
    points = risk_points(UNCERTAINTY, ERROR)
    assert points[-1].coverage == 1
    assert points[-1].risk == pytest.approx(ERROR.mean().item())
    assert len(risk_points(uniform(5000), normal(5000).abs())) <= 200


def test_choices_answer_at_most_what_was_wanted() -> None:
    uncertainty = torch.arange(100, dtype=torch.float64)
    error = torch.zeros(100, dtype=torch.float64)
    error[90:] = 1
    choices = threshold_choices(uncertainty, error, OPTIONS, events=True)
    assert [choice.count for choice in choices] == [100, 99, 95, 90, 80, 70, 50]
    assert [choice.risk for choice in choices][:4] == pytest.approx([0.1, 9 / 99, 5 / 95, 0])
    assert choices[3].threshold == 89
    assert all(choice.interval is not None for choice in choices)


def test_ties_are_answered_together_or_not_at_all() -> None:
    uncertainty = torch.tensor([0.0] * 60 + [1.0] * 40, dtype=torch.float64)
    choices = threshold_choices(uncertainty, torch.zeros(100, dtype=torch.float64), OPTIONS, events=True)
    assert [choice.count for choice in choices] == [100, 60]
