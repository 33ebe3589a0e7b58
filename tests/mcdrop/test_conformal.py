"""Conformal prediction: the rank by hand, edge cases, and simulated coverage."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.conformal import (
    AdaptiveSets,
    ConformalIntervals,
    conformal_bound,
    conformal_rows,
    fit_adaptive_sets,
    fit_conformal_intervals,
)
from mcdrop.errors import DomainError, ShapeError
from mcdrop.metrics.regression_calibration import covered
from tests.support.predictions import normal, permutation, uniform
from tests.support.tolerances import monte_carlo

TRIALS = 300


@given(st.integers(1, 300), st.integers(1, 99))
def test_the_bound_is_the_kth_smallest_with_k_in_exact_arithmetic(rows: int, percent: int) -> None:
    bound = conformal_bound(permutation(rows).double() + 1, level=percent / 100)
    rank = -(-(rows + 1) * percent // 100)
    assert bound == (rank if rank <= rows else math.inf)


def test_nine_rows_promise_ninety_percent_and_eight_do_not() -> None:
    assert conformal_bound(torch.arange(9.0), level=0.9) == 8.0
    assert conformal_bound(torch.arange(8.0), level=0.9) == math.inf


def test_intervals_scale_with_the_std() -> None:
    fitted = fit_conformal_intervals(torch.zeros(9), torch.full((9,), 2.0), torch.arange(9.0), level=0.9)
    assert fitted.bound == 4.0
    lower, upper = fitted.apply([1.0, 1.0], [1.0, 0.0])
    assert (lower.tolist(), upper.tolist()) == ([-3.0, 1.0], [5.0, 1.0])


def test_too_few_rows_give_unbounded_intervals_and_full_sets() -> None:
    intervals = fit_conformal_intervals([0.0], [1.0], [0.0])
    lower, upper = intervals.apply([0.0], [0.0])
    assert (lower.item(), upper.item()) == (-math.inf, math.inf)
    sets = fit_adaptive_sets([[0.9, 0.1]], [0])
    assert sets.apply([[1.0, 0.0]]).tolist() == [[True, True]]


def test_an_error_where_the_std_is_zero_is_infinitely_bad_and_no_error_is_none() -> None:
    fitted = fit_conformal_intervals(torch.zeros(9), torch.zeros(9), torch.zeros(9), level=0.9)
    assert fitted.bound == 0.0
    fitted = fit_conformal_intervals(torch.zeros(9), torch.zeros(9), torch.ones(9), level=0.9)
    assert fitted.bound == math.inf


def test_sets_without_a_draw_hold_the_classes_before_which_there_is_too_little() -> None:
    sets = AdaptiveSets(fit_adaptive_sets([[1.0]], [0]).fitted_with, 0.9, 0.6, randomized=False, seed=0)
    laws = [[0.5, 0.3, 0.2], [0.7, 0.2, 0.1], [0.2, 0.3, 0.5]]
    expected = [[True, True, False], [True, False, False], [False, True, True]]
    assert sets.apply(laws).tolist() == expected


def test_of_equal_classes_the_first_comes_first() -> None:
    sets = AdaptiveSets(fit_adaptive_sets([[1.0]], [0]).fitted_with, 0.9, 0.25, randomized=False, seed=0)
    assert sets.apply([[0.25, 0.25, 0.25, 0.25]]).tolist() == [[True, True, False, False]]


def test_sets_without_a_draw_are_never_empty_and_small_where_the_network_is_sure_and_right() -> None:
    y = permutation(50) % 5
    laws = torch.nn.functional.one_hot(y, 5) * 0.999 + 0.0002
    laws = laws / laws.sum(1, keepdim=True)
    assert fit_adaptive_sets(laws, y, randomized=False).apply(laws).sum(1).tolist() == [1] * 50


def test_randomised_sets_can_be_replayed_row_by_row() -> None:
    probs = (2 * normal(60, 5)).softmax(-1)
    sets = fit_adaptive_sets(probs, permutation(60) % 5)
    new = (2 * normal(30, 5, seed=1)).softmax(-1)
    whole = sets.apply(new)
    assert torch.equal(sets.apply(new[10:], row_ids=torch.arange(10, 30)), whole[10:])
    assert not torch.equal(fit_adaptive_sets(probs, permutation(60) % 5, seed=1).apply(new), whole)


@pytest.mark.parametrize("level", [0.8, 0.9])
def test_intervals_cover_as_promised_whatever_the_standard_deviations_say(level: float) -> None:
    rows, shares = 39, []
    for seed in range(TRIALS):
        std = 0.1 + uniform(2 * rows, seed=seed)  # says nothing about the errors
        y = normal(2 * rows, seed=seed + TRIALS)
        fitted = fit_conformal_intervals(torch.zeros(rows), std[:rows], y[:rows], level=level)
        lower, upper = fitted.apply(torch.zeros(rows), std[rows:])
        shares.append(covered(lower, upper, y[rows:]).mean().item())
    assert abs(np.mean(shares) - level) < monte_carlo(TRIALS, scale=float(np.std(shares)))


@pytest.mark.parametrize("randomized", [True, False])
def test_sets_cover_as_promised_whatever_the_probabilities_say(randomized: bool) -> None:
    rows, shares = 39, []
    for seed in range(TRIALS):
        laws, y = _overconfident(2 * rows, seed)
        fitted = fit_adaptive_sets(laws[:rows], y[:rows], level=0.9, randomized=randomized, seed=seed)
        held = fitted.apply(laws[rows:]).gather(1, y[rows:].unsqueeze(1))
        shares.append(held.double().mean().item())
    margin = monte_carlo(TRIALS, scale=float(np.std(shares)))
    assert np.mean(shares) > 0.9 - margin
    if randomized:
        assert np.mean(shares) < 0.9 + margin


def test_intervals_of_several_outputs_cover_all_of_them() -> None:
    fitted = fit_conformal_intervals(torch.zeros(9, 2), torch.ones(9, 2), torch.arange(18.0).reshape(9, 2))
    assert fitted.bound == 17.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match="level must be between 0 and 1, got 90"):
        conformal_bound([1.0], level=90)
    with pytest.raises(DomainError, match="std must not be negative"):
        fit_conformal_intervals([0.0], [-1.0], [0.0])
    with pytest.raises(ShapeError, match=r"row_ids must have shape \(1,\), got shape \(2,\)"):
        fit_adaptive_sets([[1.0]], [0]).apply([[1.0]], row_ids=[0, 1])
    with pytest.raises(DomainError, match="y must be a class from 0 to 0, got 1"):
        fit_adaptive_sets([[1.0]], [1])
    with pytest.raises(ShapeError, match=r"std must have shape \(1,\), got shape \(2,\)"):
        ConformalIntervals(fit_conformal_intervals([0.0], [1.0], [0.0]).fitted_with, 0.9, 1.0).apply(
            [0.0], [1.0, 1.0]
        )


def _overconfident(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """Laws that are three times as sharp as those the labels come from."""
    logits = normal(rows, 5, seed=seed)
    true = logits.softmax(-1).cumsum(-1)
    y = (uniform(rows, 1, seed=seed + 10_000) > true).sum(-1).clamp(max=4)
    return (3 * logits).softmax(-1), y


@pytest.mark.parametrize(("level", "rows"), [(0.9, 9), (0.95, 19), (0.99, 99), (0.5, 1), (0.1, 1)])
def test_the_fewest_rows_are_those_from_which_the_bound_is_finite(level: float, rows: int) -> None:
    assert conformal_rows(level) == rows
    assert math.isfinite(conformal_bound(torch.arange(rows), level=level))
    if rows > 1:
        assert math.isinf(conformal_bound(torch.arange(rows - 1), level=level))
