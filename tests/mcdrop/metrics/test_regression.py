"""Scores of real-valued predictions, with scikit-learn, SciPy and uncertainty-toolbox as second opinions."""

import math

import numpy as np
import pytest
import torch
import uncertainty_toolbox as uct
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from mcdrop.errors import DomainError, ShapeError
from mcdrop.metrics import regression as scores
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64

MEAN, STD, Y = normal(100), 0.5 + uniform(100), normal(100, seed=1)


def test_scikit_learn_agrees() -> None:
    rmse = sk.root_mean_squared_error(Y, MEAN)
    assert scores.root_mean_squared_error(MEAN, Y).item() == pytest.approx(rmse)
    assert scores.mean_absolute_error(MEAN, Y).item() == pytest.approx(sk.mean_absolute_error(Y, MEAN))
    pinball = sk.mean_pinball_loss(Y, MEAN, alpha=0.2)
    assert scores.pinball_loss(MEAN, Y, level=0.2).mean().item() == pytest.approx(pinball)


def test_scipy_and_uncertainty_toolbox_agree_on_the_gaussian_log_score() -> None:
    nll = scores.gaussian_negative_log_likelihood(MEAN, STD, Y)
    np.testing.assert_allclose(nll, -stats.norm(MEAN, STD).logpdf(Y), **FLOAT64)
    toolbox = uct.nll_gaussian(MEAN.numpy(), STD.numpy(), Y.numpy())
    assert nll.mean().item() == pytest.approx(toolbox)


def test_uncertainty_toolbox_agrees_on_the_interval_score() -> None:
    levels = np.linspace(0.01, 0.99, 99)
    ours = []
    for level in levels:
        half = stats.norm.ppf((1 + level) / 2) * STD
        ours.append(scores.interval_score(MEAN - half, MEAN + half, Y, level=level).mean().item())
    toolbox = uct.interval_score(MEAN.numpy(), STD.numpy(), Y.numpy(), scaled=True)
    assert np.mean(ours) == pytest.approx(toolbox)


def test_closed_forms() -> None:
    assert scores.interval_score([0.0], [1.0], [1.5], level=0.9).item() == pytest.approx(1 + 20 * 0.5)
    assert scores.interval_score([0.0], [1.0], [0.5], level=0.9).item() == 1
    assert scores.pinball_loss([0.0], [2.0], level=0.9).item() == pytest.approx(1.8)
    assert scores.pinball_loss([2.0], [0.0], level=0.9).item() == pytest.approx(0.2)


@given(st.integers(0, 500), st.sampled_from([0.1, 1.0, 30.0]))
def test_the_monte_carlo_log_likelihood_is_the_formula_of_its_paper(seed: int, tau: float) -> None:
    means, y = normal(9, 4, seed=seed), normal(4, seed=seed + 1)
    terms = -0.5 * tau * (y - means).square()
    formula = terms.logsumexp(0) - math.log(9) - 0.5 * math.log(2 * math.pi) + 0.5 * math.log(tau)
    torch.testing.assert_close(scores.monte_carlo_log_likelihood(means, tau, y), formula, **FLOAT64)


@given(st.integers(0, 500))
def test_the_mixture_is_never_worse_than_the_mean_of_its_samples_scores(seed: int) -> None:
    means, y = normal(6, 3, seed=seed), normal(3, seed=seed + 1)
    mixture = scores.mixture_negative_log_likelihood(means, 0.5, y)
    each = scores.gaussian_negative_log_likelihood(means, torch.full_like(means, 0.5), y.expand_as(means))
    assert bool((mixture <= each.mean(0) + 1e-9).all())  # Jensen


def test_a_std_of_zero_is_a_point() -> None:
    nll = scores.gaussian_negative_log_likelihood([1.0, 1.0], [0.0, 0.0], [1.0, 2.0])
    assert nll.tolist() == [-math.inf, math.inf]


def test_errors_are_per_output() -> None:
    mean = torch.tensor([[0.0, 0.0], [0.0, 0.0]])
    y = torch.tensor([[1.0, 3.0], [1.0, 4.0]])
    assert scores.mean_absolute_error(mean, y).tolist() == [1.0, 3.5]
    assert scores.squared_error(mean, y).shape == (2, 2)
    assert scores.absolute_error([1.0], [3.0]).item() == 2.0


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"y must have shape \(2,\), got shape \(2, 1\)"):
        scores.squared_error([0.0, 1.0], [[0.0], [1.0]])
    with pytest.raises(DomainError, match="std must not be negative, got -1"):
        scores.gaussian_negative_log_likelihood([0.0], [-1.0], [0.0])
    with pytest.raises(DomainError, match="tau must be positive, got 0"):
        scores.monte_carlo_log_likelihood([[0.0]], 0, [0.0])
    with pytest.raises(DomainError, match="upper must not be below lower"):
        scores.interval_score([1.0], [0.0], [0.0], level=0.9)
    with pytest.raises(DomainError, match="level must be between 0 and 1, got 90"):
        scores.interval_score([0.0], [1.0], [0.0], level=90)
