"""Vector scaling: known slopes and offsets are recovered; scikit-learn's regression is the second opinion."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression
from torch import Tensor

from mcdrop.calibration.descent import minimise
from mcdrop.calibration.temperature import Temperature, fit_temperature
from mcdrop.calibration.vector_scaling import VectorScaling, fit_vector_scaling
from mcdrop.errors import DomainError, ShapeError, TooFewRowsError
from mcdrop.metrics.classification import negative_log_likelihood
from tests.support.predictions import class_samples, normal, permutation, uniform
from tests.support.tolerances import FLOAT64

RECORD = fit_temperature((2 * normal(1, 20, 2)).softmax(-1), permutation(20) % 2).fitted_with


def drawn(logits: Tensor) -> Tensor:
    """(N,) labels of the laws of these logits (N, C)."""
    below = logits.softmax(-1).cumsum(-1)
    return (uniform(len(logits), 1, seed=2) > below).sum(-1).clamp(max=logits.shape[-1] - 1)


def likelihood(fitted: VectorScaling | Temperature, probs: Tensor, y: Tensor) -> float:
    return -negative_log_likelihood(fitted.apply(probs).mean(0), y).mean().item()


def test_known_slopes_and_offsets_are_found() -> None:
    logs = (2 * normal(20_000, 3)).log_softmax(-1)
    slopes, offsets = torch.tensor([0.5, 1.0, 2.0]), torch.tensor([0.5, 0.0, -0.5])
    fitted = fit_vector_scaling(logs.exp().unsqueeze(0), drawn(logs * slopes + offsets))
    assert fitted.slopes == pytest.approx(slopes.tolist(), abs=0.15)
    assert fitted.offsets == pytest.approx(offsets.tolist(), abs=0.15)
    assert sum(fitted.offsets) == pytest.approx(0, abs=1e-12)


def test_for_one_sample_of_two_classes_it_is_a_logistic_regression() -> None:
    """Two classes have log odds a_1 log p_1 - a_0 log p_0 + b: a regression on the two log probabilities."""
    logs = (2 * normal(500, 2)).log_softmax(-1)
    y = drawn(0.5 * logs + torch.tensor([0.0, 0.3]))
    fitted = fit_vector_scaling(logs.exp().unsqueeze(0), y)
    judge = LogisticRegression(C=1e12, tol=1e-10, max_iter=10_000).fit(logs.numpy(), y.numpy())
    expected = torch.from_numpy(judge.predict_proba(logs.numpy()))
    torch.testing.assert_close(fitted.apply(logs.exp().unsqueeze(0))[0], expected, rtol=1e-3, atol=1e-4)


def test_it_is_likelier_than_a_temperature_which_is_likelier_than_nothing() -> None:
    probs = (3 * normal(6, 300, 4)).softmax(-1)
    y = drawn(normal(300, 4) + torch.tensor([1.0, 0.0, 0.0, -1.0]))
    vector, temperature = fit_vector_scaling(probs, y), fit_temperature(probs, y)
    nothing = -negative_log_likelihood(probs.mean(0), y).mean().item()
    assert likelihood(vector, probs, y) > likelihood(temperature, probs, y) > nothing


@given(class_samples())
def test_slopes_of_one_and_offsets_of_zero_change_nothing(probs: Tensor) -> None:
    classes = probs.shape[-1]
    torch.testing.assert_close(
        VectorScaling(RECORD, (1.0,) * classes, (0.0,) * classes).apply(probs), probs, **FLOAT64
    )


@given(class_samples(), st.floats(0.2, 5))
def test_equal_slopes_are_a_temperature(probs: Tensor, temperature: float) -> None:
    classes = probs.shape[-1]
    vector = VectorScaling(RECORD, (1 / temperature,) * classes, (0.0,) * classes)
    torch.testing.assert_close(vector.apply(probs), Temperature(RECORD, temperature).apply(probs), **FLOAT64)


@given(class_samples())
def test_the_order_of_the_samples_does_not_matter_and_laws_stay_laws(probs: Tensor) -> None:
    classes = probs.shape[-1]
    vector = VectorScaling(RECORD, tuple(0.5 + k for k in range(classes)), (0.0,) * classes)
    applied = vector.apply(probs)
    assert applied.sum(-1).sub(1).abs().max() < 1e-9
    torch.testing.assert_close(vector.apply(probs.flip(0)), applied.flip(0), **FLOAT64)


def test_it_fits_under_inference_mode() -> None:
    with torch.inference_mode():
        probs, y = (2 * normal(2, 60, 3)).softmax(-1), permutation(60) % 3
        inside = fit_vector_scaling(probs, y)
    assert inside == fit_vector_scaling(probs.clone(), y.clone())


def test_a_descent_that_finds_nothing_better_stays_where_it_started() -> None:
    start = torch.tensor([2.0], dtype=torch.float64)
    assert minimise(lambda x: -x.abs().sum() / 0, start) is start
    assert minimise(lambda x: (x - 3).square().sum(), start).item() == pytest.approx(3, abs=1e-6)


def test_bad_input_is_refused() -> None:
    probs = (2 * normal(2, 40, 4)).softmax(-1)
    with pytest.raises(TooFewRowsError, match="vector scaling of 4 classes needs at least 40 rows, got 39"):
        fit_vector_scaling(probs[:, :39], permutation(39) % 4)
    with pytest.raises(TooFewRowsError, match="rows of every class, got none of class 3"):
        fit_vector_scaling(probs, permutation(40) % 3)
    with pytest.raises(DomainError, match="y must be a class from 0 to 3, got 4"):
        fit_vector_scaling(probs, permutation(40) % 5)
    with pytest.raises(
        DomainError, match=r"must sum to 1 over the classes, got 2 \(off by \+1\) at index \(0, 0\)"
    ):
        fit_vector_scaling(torch.full((1, 40, 4), 0.5), permutation(40) % 4)
    with pytest.raises(ShapeError, match=r"probs must have 2 classes, got shape \(2, 40, 4\)"):
        VectorScaling(RECORD, (1.0, 1.0), (0.0, 0.0)).apply(probs)
