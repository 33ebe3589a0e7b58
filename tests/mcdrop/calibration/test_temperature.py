"""Temperature inside the average: recovers a known one, and for one sample agrees with scikit-learn."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from mcdrop.calibration.temperature import Temperature, fit_temperature, two_classes
from mcdrop.errors import DomainError, TooFewRowsError
from mcdrop.metrics.classification import negative_log_likelihood
from tests.support.predictions import class_samples, normal, permutation, uniform
from tests.support.tolerances import FLOAT64


def sharpened(rows: int, *, samples: int, factor: float) -> tuple[Tensor, Tensor]:
    """Samples whose logits are `factor` times those of the law that the labels come from."""
    logits = 2 * normal(rows, 4) + 0.5 * normal(samples, rows, 4, seed=1)
    law = logits.softmax(-1).mean(0).cumsum(-1)
    y = (uniform(rows, 1, seed=2) > law).sum(-1).clamp(max=3)
    return (factor * logits).softmax(-1), y


@pytest.mark.parametrize("factor", [0.5, 1.0, 3.0])
def test_a_known_temperature_is_found(factor: float) -> None:
    fitted = fit_temperature(*sharpened(4000, samples=6, factor=factor))
    assert fitted.temperature == pytest.approx(factor, rel=0.1)


def test_the_minimum_is_a_minimum() -> None:
    probs, y = sharpened(200, samples=6, factor=2.0)
    fitted = fit_temperature(probs, y)

    def loss(temperature: float) -> float:
        moved = Temperature(fitted.fitted_with, temperature).apply(probs).mean(0)
        return negative_log_likelihood(moved, y).mean().item()

    assert loss(fitted.temperature) <= loss(fitted.temperature * 1.01)
    assert loss(fitted.temperature) <= loss(fitted.temperature / 1.01)
    assert loss(fitted.temperature) <= loss(1.0)


def test_inside_the_average_is_not_outside() -> None:
    probs, y = sharpened(500, samples=10, factor=3.0)
    outside = fit_temperature(probs.mean(0, keepdim=True), y).temperature
    assert fit_temperature(probs, y).temperature != pytest.approx(outside, rel=1e-3)


@given(class_samples())
def test_a_temperature_of_one_changes_nothing(probs: Tensor) -> None:
    fitted = Temperature(fit_temperature(*sharpened(20, samples=1, factor=1.0)).fitted_with, 1.0)
    torch.testing.assert_close(fitted.apply(probs), probs, **FLOAT64)


@given(class_samples(most_classes=4))
def test_heat_keeps_the_order_of_the_classes_and_makes_no_law_surer(probs: Tensor) -> None:
    fitted = Temperature(fit_temperature(*sharpened(20, samples=1, factor=1.0)).fitted_with, 2.0)
    heated = fitted.apply(probs)
    assert torch.equal(heated.argmax(-1), probs.argmax(-1))
    assert bool((heated.amax(-1) <= probs.amax(-1) + 1e-12).all())


def test_a_label_whose_probability_was_rounded_to_zero_keeps_the_fit_finite() -> None:
    probs = torch.tensor([[1.0, 0.0]]).repeat(1, 40, 1)
    fitted = fit_temperature(probs, torch.tensor([1] * 4 + [0] * 36))
    assert fitted.temperature == pytest.approx(20.0, rel=1e-3)


def test_events_are_two_classes() -> None:
    assert two_classes([[0.25]]).tolist() == [[[0.75, 0.25]]]


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="fitting a temperature needs at least 20 rows, got 3"):
        fit_temperature(normal(2, 3, 4).softmax(-1), [0, 1, 2])
    with pytest.raises(DomainError, match="y must be a class from 0 to 3, got 4"):
        fit_temperature(normal(2, 30, 4).softmax(-1), permutation(30) % 5)
