"""Conformalised quantile regression: closed forms, and the promise on skewed data."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.conformal_quantiles import fit_conformal_quantiles
from mcdrop.errors import DomainError, ShapeError
from mcdrop.metrics.regression_calibration import covered
from tests.support.predictions import normal, uniform
from tests.support.tolerances import monte_carlo


def test_the_bound_is_the_k_th_smallest_distance_outside() -> None:
    y = torch.arange(1.0, 20.0)  # 19 rows; k = ceil(20 x 0.9) = 18
    fitted = fit_conformal_quantiles(torch.zeros(19), torch.full((19,), 5.0), y, level=0.9)
    assert fitted.bound == 18 - 5
    lower, upper = fitted.apply([0.0], [5.0])
    assert (lower.item(), upper.item()) == (-13, 18)
    assert fitted.quantile_levels == pytest.approx((0.05, 0.95))


def test_quantiles_too_far_apart_are_drawn_together() -> None:
    fitted = fit_conformal_quantiles(
        torch.full((99,), -10.0), torch.full((99,), 10.0), uniform(99), level=0.9
    )
    lower, upper = fitted.apply([-10.0], [10.0])
    assert fitted.bound < 0
    assert -10 < lower.item() < upper.item() < 10


def test_an_interval_that_is_turned_inside_out_becomes_its_middle() -> None:
    fitted = fit_conformal_quantiles(
        torch.full((99,), -10.0), torch.full((99,), 10.0), uniform(99), level=0.5
    )
    assert [end.tolist() for end in fitted.apply([2.0], [4.0])] == [[3.0], [3.0]]


def test_too_few_rows_give_no_bound() -> None:
    fitted = fit_conformal_quantiles([0.0] * 8, [1.0] * 8, [0.5] * 8, level=0.9)
    assert math.isinf(fitted.bound)
    assert [end.item() for end in fitted.apply([0.0], [1.0])] == [-math.inf, math.inf]


def test_several_outputs_share_the_bound_of_the_worst() -> None:
    y = torch.zeros(19, 2)
    y[:, 1] = torch.arange(1.0, 20.0)
    fitted = fit_conformal_quantiles(torch.zeros(19, 2), torch.zeros(19, 2), y, level=0.9)
    assert fitted.bound == 18


def test_the_promise_holds_on_skewed_outcomes_with_useless_quantiles() -> None:
    trials, rows = 400, 40
    kept = []
    for seed in range(trials):
        y = normal(2 * rows, seed=seed).exp()
        low, high = 0.5 + 0.1 * uniform(2 * rows, seed=seed), torch.full((2 * rows,), 1.0)
        fitted = fit_conformal_quantiles(low[:rows], high[:rows], y[:rows], level=0.8)
        kept.append(covered(*fitted.apply(low[rows:], high[rows:]), y[rows:]).mean().item())
    share = torch.tensor(kept)
    promised = math.ceil(41 * 0.8) / 41
    assert abs(share.mean().item() - promised) <= monte_carlo(trials, scale=share.std().item())


@given(st.floats(0.01, 100), st.floats(-50, 50))
def test_it_follows_the_units_of_the_output(unit: float, shift: float) -> None:
    low, high, y = -uniform(30), uniform(30, seed=1), normal(30, seed=2)
    plain = fit_conformal_quantiles(low, high, y).bound
    moved = fit_conformal_quantiles(unit * low + shift, unit * high + shift, unit * y + shift).bound
    assert moved == pytest.approx(unit * plain, rel=1e-6, abs=1e-9)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match="upper must not be below lower, got it so at row 1"):
        fit_conformal_quantiles([0.0, 1.0], [1.0, 0.0], [0.0, 0.0])
    with pytest.raises(ShapeError, match=r"y must have shape \(2,\), got shape \(3,\)"):
        fit_conformal_quantiles([0.0, 0.0], [1.0, 1.0], [0.0] * 3)
    with pytest.raises(DomainError, match="level must be between 0 and 1, got 1"):
        fit_conformal_quantiles([0.0], [1.0], [0.0], level=1)
    with pytest.raises(DomainError, match="y must not hold NaN"):
        fit_conformal_quantiles([0.0], [1.0], [math.nan])
