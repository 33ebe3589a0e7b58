"""Scores of few errors: what rows without one cannot show is not taken for known."""

import pytest
import torch

from mcdrop.intervals import wilson_interval
from mcdrop.rowscores import classification_rows
from mcdrop.scoring import Score, ScoreOptions, overconfidence_score, row_score
from tests.support.predictions import uniform
from tests.support.tolerances import monte_carlo

OPTIONS = ScoreOptions()


def overconfidence(confidence: torch.Tensor, event: torch.Tensor) -> tuple[float, float]:
    score = overconfidence_score(confidence, event, OPTIONS)
    assert score.interval is not None
    assert score.interval.lower <= score.value <= score.interval.upper
    return score.interval.lower, score.interval.upper


def test_rows_that_are_all_right_are_not_called_under_confident() -> None:
    """Ten right rows leave open a share from 0.72 on."""
    lower, upper = overconfidence(torch.full((10,), 0.99), torch.ones(10))
    assert lower == pytest.approx(0.99 - 1)
    assert upper == pytest.approx(0.99 - wilson_interval(10, 10).lower)


def test_rows_that_are_all_without_the_event_are_not_called_over_confident() -> None:
    lower, upper = overconfidence(torch.full((10,), 0.01), torch.zeros(10))
    assert lower == pytest.approx(0.01 - wilson_interval(0, 10).upper)
    assert upper == pytest.approx(0.01)


@pytest.mark.parametrize("rows", [50, 300])
def test_the_interval_covers_a_calibrated_classifier_that_hardly_errs(rows: int) -> None:
    trials, covered = 200, 0
    for draw, state in zip(uniform(trials, rows), uniform(trials, rows, seed=1), strict=True):
        confidence = 0.98 + 0.02 * state
        lower, upper = overconfidence(confidence, (draw < confidence).double())
        covered += lower <= 0 <= upper
    assert covered / trials >= 0.95 - monte_carlo(trials, scale=0.22)


def test_many_errors_leave_the_bootstrap_alone() -> None:
    score = overconfidence_score(uniform(200), torch.arange(200) % 2, OPTIONS)
    assert score.interval is not None
    assert score.interval.method == "BCa bootstrap"


def test_tokens_that_are_all_right_leave_open_what_as_many_rows_do() -> None:
    probs = torch.tensor([0.9, 0.1], dtype=torch.float64).expand(3, 12, 2)
    accuracy = classification_rows(probs, torch.zeros(3, 12, dtype=torch.int64))[0]
    assert row_score(accuracy, OPTIONS) == Score("accuracy", 1.0, wilson_interval(3, 3))
