"""tau and the factor for standard deviations: known values are recovered, closed forms hold."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcdrop.calibration.line_search import minimise_positive
from mcdrop.calibration.noise_precision import fit_noise_precision
from mcdrop.calibration.std_scaling import fit_std_scaling
from mcdrop.errors import DomainError, TooFewRowsError
from mcdrop.metrics.regression import monte_carlo_log_likelihood
from tests.support.predictions import normal, uniform


@pytest.mark.parametrize("noise", [0.01, 1.0, 50.0])
def test_a_known_noise_is_found(noise: float) -> None:
    rows = 4000
    centre = 10 * normal(rows)
    samples = centre + 0.1 * noise * normal(8, rows, seed=1)
    fitted = fit_noise_precision(samples, centre + noise * normal(rows, seed=2))
    assert fitted.tau**-0.5 == pytest.approx(noise, rel=0.05)


def test_with_one_sample_tau_is_one_over_the_mean_squared_error() -> None:
    samples, y = normal(1, 50), normal(50, seed=1)
    expected = 1 / (samples[0] - y).square().mean().item()
    assert fit_noise_precision(samples, y).tau == pytest.approx(expected, rel=1e-6)


def test_the_likelihood_is_at_its_maximum() -> None:
    samples, y = normal(8, 60), normal(60, seed=1)
    tau = fit_noise_precision(samples, y).tau
    best = monte_carlo_log_likelihood(samples, tau, y).mean()
    for other in (0.98 * tau, 1.02 * tau):
        assert best >= monte_carlo_log_likelihood(samples, other, y).mean()


@settings(max_examples=20)
@given(st.floats(1e-3, 1e3))
def test_tau_follows_the_units_of_the_output(unit: float) -> None:
    samples, y = normal(4, 30), normal(30, seed=1)
    plain, scaled = fit_noise_precision(samples, y).tau, fit_noise_precision(unit * samples, unit * y).tau
    assert scaled * unit**2 == pytest.approx(plain, rel=1e-5)


def test_the_total_std_adds_variances() -> None:
    fitted = fit_noise_precision(normal(1, 50), normal(50, seed=1))
    assert fitted.apply([3.0]).item() == pytest.approx((9 + 1 / fitted.tau) ** 0.5)


@given(st.floats(0.01, 100))
def test_the_factor_undoes_a_wrong_scale(wrong: float) -> None:
    std, error = 0.5 + uniform(40), normal(40)
    right = fit_std_scaling(torch.zeros(40), std, error).factor
    assert fit_std_scaling(torch.zeros(40), std * wrong, error).factor == pytest.approx(right / wrong)


def test_scaled_standard_deviations_are_as_large_as_the_errors() -> None:
    mean, std, y = normal(50), 0.5 + uniform(50), normal(50, seed=1)
    scaled = fit_std_scaling(mean, std, y).apply(std)
    assert ((y - mean) / scaled).square().mean().item() == pytest.approx(1.0)


def test_the_search_finds_minima_inside_and_at_the_ends() -> None:
    assert minimise_positive(lambda x: (x - 3) ** 2, lowest=0.1, highest=100) == pytest.approx(3, rel=1e-6)
    assert minimise_positive(lambda x: x, lowest=0.1, highest=100) == pytest.approx(0.1, rel=1e-6)
    assert minimise_positive(lambda x: -x, lowest=0.1, highest=100) == pytest.approx(100, rel=1e-6)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="fitting tau needs at least 20 rows, got 3"):
        fit_noise_precision(normal(2, 3), normal(3))
    with pytest.raises(DomainError, match="there is no noise to fit"):
        fit_noise_precision(torch.zeros(2, 30), torch.zeros(30))
    with pytest.raises(DomainError, match="std must be positive to be scaled, got 0"):
        fit_std_scaling(torch.zeros(30), torch.zeros(30), torch.zeros(30))
    with pytest.raises(TooFewRowsError, match="needs at least 20 rows, got 2"):
        fit_std_scaling([0.0, 0.0], [1.0, 1.0], [0.0, 0.0])
    with pytest.raises(DomainError, match="std must not be negative"):
        fit_std_scaling(normal(30), torch.ones(30), normal(30, seed=1)).apply([-1.0])
