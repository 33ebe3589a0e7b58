"""Selective prediction: the binomial bound, thresholds by hand, and the promise in simulations."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcdrop.errors import DomainError, ShapeError, TooFewRowsError
from mcdrop.selective import binomial_cdf, fit_selective_threshold
from tests.support.predictions import uniform
from tests.support.tolerances import monte_carlo

TRIALS = 400


@given(st.integers(0, 2000), st.integers(0, 2000), st.floats(0.001, 0.999))
def test_scipy_agrees_on_the_binomial_distribution(one: int, two: int, p: float) -> None:
    successes, trials = min(one, two), max(one, two)
    expected = stats.binom.cdf(successes, trials, p)
    assert binomial_cdf(successes, trials, p) == pytest.approx(expected, rel=1e-6, abs=1e-12)


def test_without_errors_everything_is_answered() -> None:
    fitted = fit_selective_threshold(torch.arange(200.0), torch.zeros(200), risk=0.05)
    assert fitted.threshold == math.inf
    assert fitted.coverage == 1.0
    assert fitted.apply([1e9]).tolist() == [True]


def test_with_errors_alone_nothing_is_answered() -> None:
    fitted = fit_selective_threshold(torch.arange(200.0), torch.ones(200), risk=0.05)
    assert fitted.threshold == -math.inf
    assert fitted.coverage == 0.0
    assert fitted.apply([-1e9]).tolist() == [False]


def test_errors_among_the_uncertain_are_left_out() -> None:
    uncertainty = torch.arange(400.0)
    fitted = fit_selective_threshold(uncertainty, uncertainty >= 300, risk=0.05)
    assert 0.7 <= fitted.coverage <= 0.8


def test_thresholds_can_be_chosen_beforehand() -> None:
    uncertainty = torch.arange(400.0)
    fitted = fit_selective_threshold(
        uncertainty, uncertainty >= 300, risk=0.05, thresholds=[100.0, 250.0, 500.0]
    )
    assert fitted.threshold == 250.0


def test_ties_are_answered_together_or_not_at_all() -> None:
    fitted = fit_selective_threshold(torch.ones(200), torch.zeros(200), risk=0.1, thresholds=[1.0, 1.5])
    assert fitted.coverage == 1.0
    fitted = fit_selective_threshold(torch.ones(200), torch.ones(200), risk=0.1)
    assert fitted.coverage == 0.0


@pytest.mark.parametrize("confidence", [0.8, 0.9])
def test_the_error_of_the_answered_rows_is_bounded_as_often_as_promised(confidence: float) -> None:
    """P(error | u) = u^2 / 2, so that the error of the rows below t is t^2 / 6."""
    broken = []
    for seed in range(TRIALS):
        u = uniform(300, seed=seed)
        error = (uniform(300, seed=seed + 5000) < u**2 / 2).double()
        fitted = fit_selective_threshold(u, error, risk=0.1, confidence=confidence)
        broken.append(min(max(fitted.threshold, 0.0), 1.0) ** 2 / 6 > 0.1)
    promise = 1 - confidence
    assert np.mean(broken) <= promise + monte_carlo(TRIALS, scale=math.sqrt(promise * confidence))


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(
        TooFewRowsError, match=r"a risk of 0\.05 with confidence 0\.9 needs at least 104 rows, got 20"
    ):
        fit_selective_threshold(torch.arange(20.0), torch.zeros(20), risk=0.05)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match="risk must be between 0 and 1, got 5"):
        fit_selective_threshold([0.0], [0], risk=5)
    with pytest.raises(DomainError, match="error must be 0 or 1, got 2"):
        fit_selective_threshold([0.0], [2], risk=0.1)
    with pytest.raises(ShapeError, match=r"error must have shape \(1,\), got shape \(2,\)"):
        fit_selective_threshold([0.0], [0, 1], risk=0.1)
