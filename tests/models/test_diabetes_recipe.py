"""The noise precision that maximises the likelihood, beside the cases that have a closed form."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcdrop.metrics.regression import monte_carlo_log_likelihood
from models.diabetes.train import fit_tau


def outcomes(rows: int, seed: int, scale: float) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(rows, 1, generator=generator, dtype=torch.float64)


@settings(max_examples=20)
@given(rows=st.integers(2, 30), seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3))
def test_without_spread_tau_is_one_over_the_mean_squared_error(rows: int, seed: int, scale: float) -> None:
    y = outcomes(rows, seed, scale)
    tau = fit_tau(torch.zeros(4, rows, 1, dtype=torch.float64), y)
    assert tau == pytest.approx(1 / y.square().mean().item(), rel=1e-4)


def test_two_points_at_equal_distance_from_the_outcome_act_as_one() -> None:
    samples = torch.tensor([[[-2.0]], [[2.0]]])
    assert fit_tau(samples, torch.zeros(1, 1)) == pytest.approx(1 / 4, rel=1e-4)


@settings(max_examples=20)
@given(seed=st.integers(0, 1000))
def test_no_other_tau_is_likelier(seed: int) -> None:
    y = outcomes(20, seed, 10.0)
    generator = torch.Generator().manual_seed(seed)
    samples = 5 * torch.randn(16, 20, 1, generator=generator, dtype=torch.float64)
    best = fit_tau(samples, y)
    likelihood = monte_carlo_log_likelihood(samples, best, y).mean()
    for factor in (0.1, 0.5, 0.99, 1.01, 2, 10):
        assert monte_carlo_log_likelihood(samples, best * factor, y).mean() <= likelihood + 1e-9


@settings(max_examples=20)
@given(seed=st.integers(0, 1000), unit=st.sampled_from([1e-3, 60.0, 1e4]))
def test_tau_has_the_unit_of_one_over_the_square_of_the_outcome(seed: int, unit: float) -> None:
    y = outcomes(20, seed, 1.0)
    samples = outcomes(20, seed + 1, 0.5).expand(8, 20, 1) + torch.linspace(-1, 1, 8)[:, None, None]
    assert math.log(fit_tau(samples, y) / fit_tau(samples * unit, y * unit)) == pytest.approx(
        2 * math.log(unit), abs=1e-4
    )
