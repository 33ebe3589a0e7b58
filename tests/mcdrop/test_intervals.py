"""Confidence intervals: SciPy as a second opinion, edge cases, and coverage in small simulations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcdrop import intervals
from mcdrop.errors import DomainError, ShapeError, TooFewRowsError
from tests.support.predictions import normal, uniform
from tests.support.tolerances import monte_carlo

TRIALS = 200
LEAST = 0.95 - monte_carlo(TRIALS, scale=math.sqrt(0.95 * 0.05))


def test_wilsons_interval_reaches_the_shares_0_and_1_exactly() -> None:
    for rows in range(1, 300):
        assert intervals.wilson_interval(rows, rows).upper == 1
        assert intervals.wilson_interval(0, rows).lower == 0


def test_scipy_agrees_on_wilsons_interval() -> None:
    for successes, rows in ((0, 10), (3, 10), (99, 100), (100, 100)):
        ours = intervals.wilson_interval(successes, rows)
        theirs = stats.binomtest(successes, rows).proportion_ci(method="wilson")
        assert (ours.lower, ours.upper) == pytest.approx((theirs.low, theirs.high), abs=1e-12)


def test_scipy_agrees_on_the_bca_bootstrap() -> None:
    values = normal(60).exp()
    ours = intervals.mean_interval(values, resamples=20_000)
    theirs = stats.bootstrap((values.numpy(),), np.mean, n_resamples=20_000, rng=0).confidence_interval
    assert ours.lower == pytest.approx(theirs.low, rel=0.02)
    assert ours.upper == pytest.approx(theirs.high, rel=0.02)
    assert ours.method == "BCa bootstrap"


def test_many_rows_get_the_normal_interval() -> None:
    values = normal(30_000)
    interval = intervals.mean_interval(values)
    assert interval.method == "normal"
    assert interval.upper - interval.lower == pytest.approx(
        2 * 1.96 * values.std().item() / math.sqrt(30_000), rel=1e-3
    )


def test_constant_rows_give_a_point() -> None:
    interval = intervals.mean_interval([2.0, 2.0, 2.0])
    assert (interval.lower, interval.upper) == (2.0, 2.0)


@pytest.mark.parametrize("right", [3, 17])
def test_how_a_sum_is_rounded_does_not_move_the_bca_bootstrap(right: int) -> None:
    values = torch.tensor([0.01] * right + [0.09] * (30 - right), dtype=torch.float64)
    one, three = intervals.mean_interval(values), intervals.mean_interval(3 * values)
    assert (3 * one.lower, 3 * one.upper) == pytest.approx((three.lower, three.upper), rel=1e-12)


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=30))
def test_the_interval_of_a_mean_lies_within_the_rows(values: list[float]) -> None:
    interval = intervals.mean_interval(values, resamples=200)
    assert interval.lower <= interval.upper
    assert min(values) - 1e-6 <= interval.lower
    assert interval.upper <= max(values) + 1e-6


def test_the_same_seed_gives_the_same_interval_and_leaves_the_global_generator_alone() -> None:
    before = torch.get_rng_state()
    values = uniform(50)
    assert intervals.mean_interval(values, seed=1) == intervals.mean_interval(values, seed=1)
    assert intervals.mean_interval(values, seed=1) != intervals.mean_interval(values, seed=2)
    assert torch.equal(torch.get_rng_state(), before)


def test_intervals_of_means_of_skewed_rows_cover() -> None:
    hits = []
    for seed in range(TRIALS):
        interval = intervals.mean_interval(normal(100, seed=seed).exp(), resamples=500, seed=seed)
        hits.append(interval.lower <= math.exp(0.5) <= interval.upper)
    assert np.mean(hits) >= 0.95 - 2 * monte_carlo(TRIALS, scale=math.sqrt(0.95 * 0.05))


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="an interval of a mean needs at least 2 rows, got 1"):
        intervals.mean_interval([1.0])
    with pytest.raises(DomainError, match="values must be finite, got inf at row 1"):
        intervals.mean_interval([1.0, math.inf])
    with pytest.raises(ShapeError, match=r"values must be \(N\), got shape \(2, 2\)"):
        intervals.mean_interval(torch.zeros(2, 2))
    with pytest.raises(
        DomainError, match="successes must be from 0 to rows, and rows at least 1, got 3 of 2"
    ):
        intervals.wilson_interval(3, 2)
    with pytest.raises(DomainError, match="level must be between 0 and 1, got 95"):
        intervals.wilson_interval(1, 2, level=95)
