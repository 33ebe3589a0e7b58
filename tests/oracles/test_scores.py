"""Scores against properscoring, MAPIE and netcal."""

import numpy as np
import pytest
import torch

from mcdrop.metrics.crps import crps_gaussian, crps_mixture, crps_samples
from mcdrop.metrics.regression_calibration import covered
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64

properscoring = pytest.importorskip("properscoring", reason="run by: make oracles")
mapie = pytest.importorskip("mapie.metrics.regression", reason="run by: make oracles")


def test_crps_of_gaussians() -> None:
    mean, std, y = normal(100), 0.1 + uniform(100), normal(100, seed=1)
    theirs = properscoring.crps_gaussian(y.numpy(), mean.numpy(), std.numpy())
    np.testing.assert_allclose(theirs, crps_gaussian(mean, std, y), **FLOAT64)


def test_crps_of_samples_divides_by_the_square_there_and_is_fair_here() -> None:
    samples, y = normal(20, 100), normal(100, seed=1)
    theirs = properscoring.crps_ensemble(y.numpy(), samples.T.numpy())
    np.testing.assert_allclose(theirs, crps_mixture(samples, torch.zeros(()), y), **FLOAT64)
    spread = (samples - y).abs().mean(0) - torch.from_numpy(theirs)
    np.testing.assert_allclose(
        crps_samples(samples, y), (samples - y).abs().mean(0) - spread * 20 / 19, **FLOAT64
    )


def test_coverage() -> None:
    lower, upper, y = -uniform(200), uniform(200, seed=1), normal(200, seed=2)
    ends = torch.stack([lower, upper], 1).unsqueeze(-1).numpy()
    theirs = mapie.regression_coverage_score(y.numpy(), ends)[0]
    assert covered(lower, upper, y).mean().item() == pytest.approx(theirs)
