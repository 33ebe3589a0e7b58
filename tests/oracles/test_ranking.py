"""Ranking scores against torch-uncertainty, and the consistency test against SciPy's with netcal's error.

torch-uncertainty imports torchvision, whose compiled operators do not load beside a torch for the CPU.
"""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

import tests.zoo.torchvision_operators  # noqa: F401  (declares them)
from mcdrop.metrics.calibration_tests import consistency_test
from mcdrop.metrics.ranking import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    fpr_at_95,
    risk_coverage,
)
from tests.support.predictions import calibrated, normal, permutation
from tests.support.tolerances import FLOAT32

theirs = pytest.importorskip("torch_uncertainty.metrics.classification", reason="run by: make oracles")
netcal = pytest.importorskip("netcal.metrics", reason="run by: make oracles")
stats = pytest.importorskip("scipy.stats", reason="run by: make oracles")

SIZES = pytest.mark.parametrize("rows", [50, 400])


def cases(rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Probabilities, labels, uncertainties without ties, and errors."""
    probs = (2 * normal(rows, 4)).softmax(-1)
    y = permutation(rows) % 4
    return probs, y, 1 - probs.amax(-1), (probs.argmax(-1) != y).double()


@SIZES
def test_the_risk_at_every_coverage(rows: int) -> None:
    probs, y, uncertainty, error = cases(rows)
    metric = theirs.AURC()
    metric.update(probs, y)
    np.testing.assert_allclose(metric.partial_compute(), risk_coverage(uncertainty, error).risk, **FLOAT32)


@SIZES
def test_aurc_is_a_mean_here_and_a_trapezoid_there(rows: int) -> None:
    probs, y, uncertainty, error = cases(rows)
    metric = theirs.AURC()
    metric.update(probs, y)
    risk = risk_coverage(uncertainty, error).risk
    ours = area_under_risk_coverage(uncertainty, error).item()
    assert metric.partial_compute().double().mean().item() == pytest.approx(ours, rel=1e-5)
    ends = (risk[0] + risk[-1]).item() / 2
    assert metric.compute().item() == pytest.approx((rows * ours - ends) / (rows - 1), rel=1e-5)


@SIZES
def test_augrc_begins_at_coverage_zero_here_and_at_one_row_there(rows: int) -> None:
    probs, y, uncertainty, error = cases(rows)
    metric = theirs.AUGRC()
    metric.update(probs, y)
    first = risk_coverage(uncertainty, error).risk[0].item() / rows  # the height at coverage 1 / N
    ours = area_under_generalized_risk_coverage(uncertainty, error).item() - first / rows / 2
    assert metric.compute().item() == pytest.approx(ours / (1 - 1 / rows), rel=1e-5)


@SIZES
def test_the_false_positive_rate_at_95_percent_in_both_conventions(rows: int) -> None:
    inside, outside = normal(rows), normal(rows // 2, seed=1) + 1
    scores, foreign = torch.cat([inside, outside]), torch.cat([torch.zeros(rows), torch.ones(rows // 2)])
    of_inside, of_outside = theirs.FPR95(pos_label=0), theirs.FPR95(pos_label=1)
    of_inside.update(-scores, foreign)
    of_outside.update(scores, foreign)
    assert of_inside.compute().item() == pytest.approx(fpr_at_95(inside, outside).item())
    assert of_outside.compute().item() == pytest.approx(fpr_at_95(-outside, -inside).item())


@pytest.mark.parametrize("power", [1.0, 1.3])
def test_the_consistency_test_is_a_monte_carlo_test_of_the_error(power: float) -> None:
    p, y = calibrated(300, power=power)
    stated, generator, resamples = p.numpy(), np.random.default_rng(0), 2000

    def drawn(size: tuple[int, ...]) -> np.ndarray:
        return (generator.random(size) < stated).astype(float)

    def error(events: np.ndarray, axis: int) -> np.ndarray:
        return np.apply_along_axis(
            lambda each: netcal.ECE(15).measure(stated, each.astype(int)), axis, events
        )

    found = stats.monte_carlo_test(
        y.double().numpy(), drawn, error, alternative="greater", n_resamples=resamples, vectorized=True
    )
    ours = consistency_test(p, y, resamples=resamples)
    assert found.statistic == pytest.approx(ours.statistic)
    margin = 5 * math.sqrt(2 * found.pvalue * (1 - found.pvalue) / resamples)  # both are simulated
    assert ours.p_value == pytest.approx(found.pvalue, abs=margin + 1 / resamples)
