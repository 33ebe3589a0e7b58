"""Regression and raw outputs: the samples alone, and the mixture that noise makes of them."""

from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.errors import DomainError, NotFittedError
from mcdrop.predictive import RawPredictive, RegressionPredictive, task_named
from tests.support.predictives import predictive_of, raw_outputs
from tests.support.tolerances import EXACT, FLOAT32

taus = st.floats(1e-3, 1e3)


def regressed(raw: Tensor, tau: float | None = None, *, keep: bool = True) -> RegressionPredictive:
    found = predictive_of(raw, task_named("regression", tau=tau), keep=keep)
    assert isinstance(found, RegressionPredictive)
    return found


@pytest.mark.parametrize("task", ["regression", "raw"])
@given(samples=st.integers(2, 40), seed=st.integers(0, 100))
def test_every_number_agrees_with_brute_force(task: str, samples: int, seed: int) -> None:
    raw = raw_outputs(samples, 3, 2, seed=seed)
    pred = predictive_of(raw, task)
    np.testing.assert_allclose(pred.mean, raw.double().mean(0), **FLOAT32)
    np.testing.assert_allclose(pred.std, raw.double().std(0), **FLOAT32)
    np.testing.assert_allclose(pred.quantile([0.1, 0.5]), np.quantile(raw, [0.1, 0.5], axis=0), **FLOAT32)
    torch.testing.assert_close(pred.samples, raw, **EXACT)
    torch.testing.assert_close(pred.deterministic, raw[0], **EXACT)


def test_without_tau_the_spread_is_epistemic() -> None:
    pred = regressed(raw_outputs(20, 3, 1))
    torch.testing.assert_close(pred.std, pred.epistemic_std, **EXACT)
    assert "aleatoric_std" not in pred.numpy()
    with pytest.raises(NotFittedError, match="the noise is not known: fit tau on held-out rows, and pass it"):
        _ = pred.aleatoric_std


@given(taus, st.integers(0, 100))
def test_total_variance_is_aleatoric_plus_epistemic(tau: float, seed: int) -> None:
    pred = regressed(raw_outputs(20, 3, 1, seed=seed), tau)
    parts = pred.epistemic_std.square() + pred.aleatoric_std.square()
    torch.testing.assert_close(pred.std.square(), parts, **FLOAT32)
    torch.testing.assert_close(pred.aleatoric_std, torch.full((3, 1), tau**-0.5), **FLOAT32)
    assert "aleatoric_std" in pred.numpy()


@given(taus, st.integers(0, 100), st.floats(0.01, 0.99))
def test_with_tau_a_quantile_is_that_of_the_mixture(tau: float, seed: int, level: float) -> None:
    raw = raw_outputs(20, 3, 1, seed=seed)
    pred = predictive_of(raw.double(), task_named("regression", tau=tau))
    below = scipy.stats.norm.cdf(pred.quantile(level), loc=raw.double(), scale=tau**-0.5).mean(0)
    np.testing.assert_allclose(below, level, **FLOAT32)


def test_an_interval_ends_at_its_quantiles() -> None:
    pred = regressed(raw_outputs(50, 3, 1), 4.0)
    lower, upper = pred.interval(0.9)
    torch.testing.assert_close(torch.stack([lower, upper]), pred.quantile([0.05, 0.95]), **EXACT)


def test_the_interval_of_equal_samples_is_that_of_the_noise() -> None:
    _, upper = regressed(torch.zeros(20, 1), 4.0).interval(0.95)
    assert upper.item() == pytest.approx(scipy.stats.norm.ppf(0.975) / 2)


def test_the_mean_has_the_shape_of_the_output() -> None:
    for shape in [(3,), (3, 1), (3, 2, 4)]:
        assert regressed(raw_outputs(20, *shape), 1.0).std.shape == shape


def test_raw_outputs_have_no_meaning_of_their_own() -> None:
    pred = predictive_of(raw_outputs(20, 3, 2), "raw")
    assert isinstance(pred, RawPredictive)
    assert pred.available_outputs() == ("mean", "std", "standard_error", "deterministic")


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_results_have_the_dtype_of_the_output(dtype: torch.dtype) -> None:
    pred = regressed(raw_outputs(20, 3, 1, dtype=dtype), 2.0)
    numbers = (pred.mean, pred.std, pred.standard_error, pred.deterministic, pred.samples, pred.quantile(0.3))
    assert {values.dtype for values in (*numbers, pred.aleatoric_std)} == {dtype}


@pytest.mark.parametrize("tau", [0.0, -1.0, float("nan"), "1", True])
def test_a_precision_that_is_not_positive_is_refused(tau: Any) -> None:
    with pytest.raises(DomainError, match="tau must be positive, got"):
        task_named("regression", tau=tau)
