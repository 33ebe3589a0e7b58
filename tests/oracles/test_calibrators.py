"""Calibrators against netcal, crepes and MAPIE."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from mcdrop.calibration.isotonic import fit_binary_isotonic
from mcdrop.calibration.std_scaling import fit_std_scaling
from mcdrop.calibration.temperature import fit_temperature
from mcdrop.conformal import fit_conformal_intervals
from mcdrop.conformal_quantiles import fit_conformal_quantiles
from tests.support.predictions import calibrated, normal, uniform
from tests.support.tolerances import FLOAT32, FLOAT64

scaling = pytest.importorskip("netcal.scaling", reason="run by: make oracles")
binning = pytest.importorskip("netcal.binning", reason="run by: make oracles")
regression = pytest.importorskip("netcal.regression", reason="run by: make oracles")
crepes = pytest.importorskip("crepes", reason="run by: make oracles")
mapie = pytest.importorskip("mapie.regression", reason="run by: make oracles")


def test_temperature_of_one_sample() -> None:
    logits = 2 * normal(600, 4)
    below = (0.5 * logits).softmax(-1).cumsum(-1)
    y = (uniform(600, 1, seed=2) > below).sum(-1).clamp(max=3)
    probs = logits.softmax(-1)
    judge = scaling.TemperatureScaling()
    judge.fit(probs.numpy(), y.numpy())
    ours = fit_temperature(probs.unsqueeze(0), y)
    assert 1 / ours.temperature == pytest.approx(float(judge.temperature[0]), rel=1e-3)


def test_isotonic() -> None:
    p, y = calibrated(500, power=2.0)
    judge = binning.IsotonicRegression()
    judge.fit(p.numpy(), y.numpy())
    np.testing.assert_allclose(
        judge.transform(p.numpy()).ravel(), fit_binary_isotonic(p, y).apply(p), **FLOAT64
    )


def test_a_factor_for_the_std() -> None:
    std, error = 0.1 + uniform(200), normal(200)
    zeros = np.zeros(200)
    judge = regression.VarianceScaling()
    judge.fit((zeros, std.numpy()), error.numpy())
    ours = fit_std_scaling(zeros, std, error).apply(std)
    np.testing.assert_allclose(judge.transform((zeros, std.numpy())).ravel(), ours, **FLOAT32)


def of_crepes(std: Tensor, error: Tensor, *, level: float) -> float:
    """The upper end of an interval around 0 for a std of 1."""
    judge = crepes.ConformalRegressor()
    judge.fit(residuals=error.numpy(), sigmas=std.numpy())
    return float(judge.predict_int(np.zeros(1), sigmas=np.ones(1), confidence=level)[0, 1])


@pytest.mark.parametrize("rows", [19, 98, 500])
def test_conformal_intervals(rows: int) -> None:
    std, error = 0.1 + uniform(rows), normal(rows)
    ours = fit_conformal_intervals(torch.zeros(rows), std, error, level=0.75).bound
    assert of_crepes(std, error, level=0.75) == pytest.approx(ours)


def test_crepes_rounds_a_rank_that_is_a_whole_number_to_the_next() -> None:
    """(1 - 0.9) x 100 is 9.999999999999998 in floating point; the rank is 10, and there 9."""
    std, error = torch.ones(99), normal(99)
    ordered = error.abs().sort().values
    assert fit_conformal_intervals(torch.zeros(99), std, error).bound == ordered[89].item()
    assert of_crepes(std, error, level=0.9) == pytest.approx(ordered[90].item())


class Constant:
    """A fitted regressor, as scikit-learn has them, that predicts one column of its input."""

    def __init__(self, column: int) -> None:
        self.column = column

    def __sklearn_is_fitted__(self) -> bool:
        return True

    def fit(self, _x: Any, _y: Any) -> "Constant":
        return self

    def predict(self, x: Any) -> Any:
        return np.asarray(x)[:, self.column]


@pytest.mark.parametrize("rows", [39, 200])
def test_conformal_quantiles_of_mapie(rows: int) -> None:
    low, high, y = -uniform(rows), uniform(rows, seed=1), normal(rows, seed=2)
    x = torch.stack([low, high, torch.zeros(rows)], 1).numpy()
    judge = mapie.ConformalizedQuantileRegressor(
        [Constant(0), Constant(1), Constant(2)], confidence_level=0.9, prefit=True
    )
    judge.conformalize(x, y.numpy())
    _, theirs = judge.predict_interval(x, symmetric_correction=True)
    ours = torch.stack(fit_conformal_quantiles(low, high, y).apply(low, high), 1)
    np.testing.assert_allclose(theirs[:, :, 0], ours, **FLOAT32)
