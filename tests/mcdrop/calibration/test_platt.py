"""Platt scaling: scikit-learn's is the second opinion."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.calibration import _SigmoidCalibration
from torch import Tensor

from mcdrop.calibration.platt import PlattScaling, fit_platt_scaling
from mcdrop.errors import DomainError, ShapeError, TooFewRowsError
from mcdrop.metrics.classification import binary_negative_log_likelihood
from tests.support.predictions import calibrated, normal, uniform

RECORD = fit_platt_scaling(uniform(1, 20), torch.arange(20) % 2).fitted_with


def test_scikit_learn_agrees_for_one_sample() -> None:
    p, y = calibrated(400, power=2.0)
    judge = _SigmoidCalibration().fit(p.logit().numpy(), y.numpy())
    fitted = fit_platt_scaling(p.unsqueeze(0), y)
    assert (fitted.slope, fitted.offset) == pytest.approx((-judge.a_, -judge.b_), rel=1e-4)


def test_a_known_slope_and_offset_are_found() -> None:
    odds = 2 * normal(20_000)
    y = (uniform(20_000, seed=1) < (0.5 * odds - 1).sigmoid()).double()
    fitted = fit_platt_scaling(odds.sigmoid().unsqueeze(0), y)
    assert (fitted.slope, fitted.offset) == pytest.approx((0.5, -1), abs=0.05)


def test_new_rows_become_likelier() -> None:
    odds = normal(5, 2000) + 2 * normal(2000, seed=1)
    y = (uniform(2000, seed=2) < (0.4 * odds.mean(0) + 0.5).sigmoid()).double()
    p = odds.sigmoid()
    fitted = fit_platt_scaling(p[:, :1000], y[:1000])
    after, before = fitted.apply(p[:, 1000:]).mean(0), p[:, 1000:].mean(0)
    assert (
        binary_negative_log_likelihood(after, y[1000:]).mean()
        < binary_negative_log_likelihood(before, y[1000:]).mean()
    )


@given(st.floats(0.1, 5), st.floats(-3, 3))
def test_it_keeps_the_order_of_the_probabilities(slope: float, offset: float) -> None:
    p = torch.linspace(0, 1, 11, dtype=torch.float64).unsqueeze(0)
    applied = PlattScaling(RECORD, slope, offset).apply(p)
    assert bool((applied.diff() >= 0).all())
    assert bool(((applied >= 0) & (applied <= 1)).all())


def test_slope_one_and_offset_zero_change_nothing() -> None:
    p = uniform(3, 5)
    torch.testing.assert_close(PlattScaling(RECORD, 1.0, 0.0).apply(p), p)


def test_separable_rows_have_a_finite_slope() -> None:
    y = torch.arange(40) % 2
    fitted = fit_platt_scaling(torch.where(y == 1, 0.9, 0.1).double().unsqueeze(0), y)
    assert fitted.slope == pytest.approx(
        torch.tensor(21 / 22).logit().item() / torch.tensor(0.9).logit().item()
    )


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_certainty_in_a_sample_keeps_everything_finite(value: float) -> None:
    p: Tensor = torch.full((2, 40), value, dtype=torch.float64)
    fitted = fit_platt_scaling(p, torch.arange(40) % 2)
    assert bool(fitted.apply(p).isfinite().all())


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="Platt scaling needs at least 20 rows, got 19"):
        fit_platt_scaling(uniform(2, 19), torch.arange(19) % 2)
    with pytest.raises(TooFewRowsError, match="needs rows of both outcomes, got only 1"):
        fit_platt_scaling(uniform(2, 20), torch.ones(20))
    with pytest.raises(DomainError, match="y must be 0 or 1, got 2 at row 2"):
        fit_platt_scaling(uniform(2, 20), torch.arange(20))
    with pytest.raises(DomainError, match=r"p must lie in \[0, 1\], got 1.5 at index \(0, 0\)"):
        fit_platt_scaling(torch.full((1, 20), 1.5), torch.arange(20) % 2)
    with pytest.raises(ShapeError, match=r"must have shape \(20,\), got shape \(19,\)"):
        fit_platt_scaling(uniform(2, 20), torch.arange(19) % 2)
