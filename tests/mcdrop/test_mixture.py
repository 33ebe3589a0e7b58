"""Mixtures of Gaussians: one component is a Gaussian, a std of 0 is a point, the quantile inverts the CDF."""

import math

import pytest
import torch
from scipy import stats

from mcdrop.errors import DomainError
from mcdrop.mixture import mixture_cdf, mixture_log_density, mixture_quantiles
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64


def test_one_component_is_a_gaussian() -> None:
    means, y = normal(1, 20), normal(20, seed=1)
    law = stats.norm(means[0].numpy(), 0.7)
    torch.testing.assert_close(
        mixture_log_density(means, 0.7, y), torch.tensor(law.logpdf(y.numpy())), **FLOAT64
    )
    torch.testing.assert_close(mixture_cdf(means, 0.7, y), torch.tensor(law.cdf(y.numpy())), **FLOAT64)
    torch.testing.assert_close(mixture_quantiles(means, 0.7, [0.9])[0], torch.tensor(law.ppf(0.9)), **FLOAT64)


def test_the_density_is_the_mean_of_the_components() -> None:
    means, std, y = normal(5, 8), 0.1 + uniform(5, 8), normal(8, seed=3)
    expected = torch.tensor(stats.norm(means.numpy(), std.numpy()).pdf(y.numpy())).mean(0).log()
    torch.testing.assert_close(mixture_log_density(means, std, y), expected, **FLOAT64)


def test_points_have_a_step_for_a_distribution_function() -> None:
    points = torch.tensor([[0.0], [1.0]])
    assert [mixture_cdf(points, 0.0, [y]).item() for y in (-0.1, 0.0, 0.5, 1.0)] == [0.0, 0.5, 0.5, 1.0]
    assert mixture_quantiles(points, 0.0, [0.5, 0.75]).flatten().tolist() == [0.0, 1.0]


def test_points_have_no_density_but_where_they_are() -> None:
    assert mixture_log_density([[1.0]], 0.0, [0.0]).item() == -math.inf
    assert mixture_log_density([[1.0]], 0.0, [1.0]).item() == math.inf


def test_far_outcomes_keep_a_finite_density() -> None:
    assert mixture_log_density(torch.zeros(3, 1), 1.0, [100.0]).item() == pytest.approx(-5000 - 0.918938533)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match="std must not be negative"):
        mixture_cdf(torch.zeros(2, 1), -1.0, [0.0])
    with pytest.raises(DomainError, match=r"level must be between 0 and 1, got 1\.0"):
        mixture_quantiles(torch.zeros(2, 1), 1.0, [0.5, 1.0])
    with pytest.raises(DomainError, match="means must be finite"):
        mixture_cdf(torch.tensor([[math.inf]]), 1.0, [0.0])
