"""Isotonic regression: by hand, the laws of a projection, and the bits of scikit-learn."""

import pytest
import torch
from hypothesis import given
from sklearn.isotonic import IsotonicRegression
from torch import Tensor

from mcdrop.monotone import MonotoneMap, fit_monotone, monotone_values
from tests.support.predictions import calibrated, labelled_confidences
from tests.support.tolerances import FLOAT64


def test_neighbours_out_of_order_are_pooled() -> None:
    x, y = torch.arange(4).double(), torch.tensor([0.0, 1.0, 0.0, 1.0], dtype=torch.float64)
    assert fit_monotone(x, y)(x).tolist() == [0.0, 0.5, 0.5, 1.0]


def test_what_rounding_sets_apart_is_pooled() -> None:
    x, y = torch.tensor([[1 - 2**-53, 1, 0.5], [1, 0, 0]], dtype=torch.float64)
    assert fit_monotone(x, y) == MonotoneMap((0.5, 1 - 2**-53), (0.0, 0.5))
    assert monotone_values(x, y.unsqueeze(0)).tolist() == [[0.5, 0.5, 0.0]]


def test_it_is_linear_between_knots_and_constant_beyond_them() -> None:
    curve = MonotoneMap((0.0, 1.0), (0.2, 0.6))
    assert curve(torch.tensor([-1.0, 0.5, 2.0])).tolist() == [0.2, 0.4, 0.6]


@given(labelled_confidences())
def test_the_fit_rises_keeps_the_mean_and_fits_itself(pairs: tuple[Tensor, Tensor]) -> None:
    x, y = pairs
    curve = fit_monotone(x, y)
    fitted = curve(x)
    assert bool((fitted[x.argsort()].diff() >= -1e-12).all())
    torch.testing.assert_close(fitted.mean(), y.mean(), **FLOAT64)
    torch.testing.assert_close(fit_monotone(x, fitted)(x), fitted, **FLOAT64)


@given(labelled_confidences())
def test_values_alone_are_those_of_the_fitted_function(pairs: tuple[Tensor, Tensor]) -> None:
    x, y = (part.double() for part in pairs)
    found = monotone_values(x, torch.stack([y, 1 - y]))
    for row, outcome in zip(found, (y, 1 - y), strict=True):
        torch.testing.assert_close(row, fit_monotone(x, outcome)(x), **FLOAT64)


def assert_bits_of_scikit_learn(x: Tensor, y: Tensor) -> None:
    theirs = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(x.numpy(), y.numpy())
    ours = fit_monotone(x, y)
    assert list(ours.knots) == theirs.X_thresholds_.tolist()
    assert list(ours.values) == theirs.y_thresholds_.tolist()
    assert ours(x).tolist() == theirs.predict(x.numpy()).tolist()
    assert monotone_values(x, y.unsqueeze(0))[0].tolist() == theirs.predict(x.numpy()).tolist()


@given(labelled_confidences())
def test_the_bits_are_those_of_scikit_learn(pairs: tuple[Tensor, Tensor]) -> None:
    x, y = pairs
    assert_bits_of_scikit_learn(x.round(decimals=12), y)


@pytest.mark.parametrize("decimals", [1, 3, 12])
def test_the_bits_of_many_rows_are_those_of_scikit_learn(decimals: int) -> None:
    x, y = calibrated(20_000, power=2.0)
    assert_bits_of_scikit_learn(x.round(decimals=decimals), y)
