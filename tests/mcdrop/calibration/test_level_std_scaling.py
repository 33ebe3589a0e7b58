"""Factors for each level of the standard deviation."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.calibration.std_scaling import LevelStdScaling, fit_level_std_scaling, fit_std_scaling
from mcdrop.errors import DomainError, OptionError, TooFewRowsError
from mcdrop.metrics.regression import gaussian_negative_log_likelihood
from tests.support.predictions import normal, uniform


def test_by_hand() -> None:
    std = torch.tensor([1.0] * 20 + [2.0] * 20)
    y = torch.tensor([3.0, -3.0] * 10 + [1.0, -1.0] * 10)
    fitted = fit_level_std_scaling(torch.zeros(40), std, y, levels=2)
    assert (fitted.edges, fitted.factors) == ((1.0,), (3.0, 0.5))
    assert fitted.apply([0.5, 1.0, 1.5, 2.0, 9.0]).tolist() == [1.5, 3.0, 0.75, 1.0, 4.5]


def test_in_every_level_errors_become_as_large_as_the_scaled_std() -> None:
    mean, std, y = normal(200), 0.5 + uniform(200), normal(200, seed=1)
    fitted = fit_level_std_scaling(mean, std, y, levels=5)
    score = ((y - mean) / fitted.apply(std)).square()
    level = torch.bucketize(std, torch.tensor(fitted.edges, dtype=torch.float64))
    assert [score[level == each].mean().item() for each in range(5)] == pytest.approx([1.0] * 5)
    assert torch.bincount(level).tolist() == [40] * 5


def test_one_level_is_one_factor() -> None:
    mean, std, y = normal(60), 0.5 + uniform(60), normal(60, seed=1)
    fitted = fit_level_std_scaling(mean, std, y, levels=1)
    assert fitted.factors == (fit_std_scaling(mean, std, y).factor,)


def test_a_spread_that_is_wrong_in_a_different_way_at_each_level_is_repaired_on_new_rows() -> None:
    true = 0.5 + uniform(4000)
    std, y = true.square(), true * normal(4000, seed=1)
    zeros = torch.zeros(2000)
    ways = (fit_level_std_scaling, fit_std_scaling)
    levels, single = (
        gaussian_negative_log_likelihood(
            zeros, fit(zeros, std[:2000], y[:2000]).apply(std[2000:]), y[2000:]
        ).mean()
        for fit in ways
    )
    assert levels < single - 0.05


@given(st.lists(st.sampled_from([0.5, 1.0, 2.0]), min_size=60, max_size=90))
def test_equal_values_share_a_level(values: list[float]) -> None:
    fitted = fit_level_std_scaling(torch.zeros(len(values)), values, torch.ones(len(values)), levels=3)
    assert len(fitted.factors) == len(fitted.edges) + 1 <= len(set(values))
    assert all(factor > 0 for factor in fitted.factors)


def test_by_default_there_is_a_level_for_fifty_rows_and_at_most_ten() -> None:
    for rows, levels in ((20, 1), (99, 1), (100, 2), (5000, 10)):
        fitted = fit_level_std_scaling(torch.zeros(rows), 0.5 + uniform(rows), normal(rows))
        assert len(fitted.factors) == levels


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="needs at least 60 rows, got 59"):
        fit_level_std_scaling(torch.zeros(59), torch.ones(59), torch.ones(59), levels=3)
    with pytest.raises(OptionError, match="levels must be at least 1, got 0"):
        fit_level_std_scaling(torch.zeros(59), torch.ones(59), torch.ones(59), levels=0)
    with pytest.raises(DomainError, match="std must be positive to be scaled, got -1"):
        fit_level_std_scaling(torch.zeros(20), -torch.ones(20), torch.ones(20))
    record = fit_level_std_scaling(torch.zeros(20), torch.ones(20), torch.ones(20)).fitted_with
    with pytest.raises(DomainError, match="std must not be negative"):
        LevelStdScaling(record, (), (1.0,)).apply([-1.0])
