"""Tests of calibration: uniform p-values on calibrated data, small ones on others; SciPy agrees."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from mcdrop.errors import TooFewRowsError
from mcdrop.metrics.calibration_tests import (
    CalibrationTest,
    consistency_test,
    spiegelhalter_test,
    uniformity_test,
)
from tests.support.predictions import calibrated, uniform
from tests.support.tolerances import monte_carlo


def test_scipy_agrees_on_the_kolmogorov_smirnov_test() -> None:
    values = uniform(300)
    ours, theirs = uniformity_test(values), stats.kstest(values.numpy(), "uniform")
    assert ours.statistic == pytest.approx(theirs.statistic)
    assert ours.p_value == pytest.approx(theirs.pvalue, abs=0.01)
    skewed = uniformity_test(values**1.2)
    assert skewed.p_value == pytest.approx(stats.kstest((values**1.2).numpy(), "uniform").pvalue, rel=0.1)


def test_spiegelhalters_score_is_the_formula_of_its_paper_and_two_sided() -> None:
    p, y = calibrated(200)
    z = ((y - p) * (1 - 2 * p)).sum() / ((1 - 2 * p).square() * p * (1 - p)).sum().sqrt()
    result = spiegelhalter_test(p, y)
    assert result.statistic == pytest.approx(z.item())
    assert result.p_value == pytest.approx(2 * stats.norm.sf(abs(z.item())))


TESTS: Final[dict[str, Callable[[Tensor, Tensor], CalibrationTest]]] = {
    "consistency": lambda p, y: consistency_test(p, y, resamples=99),
    "spiegelhalter": spiegelhalter_test,
    "uniformity": lambda p, y: uniformity_test(p + 0 * y),
}


@pytest.mark.parametrize("name", TESTS)
def test_on_calibrated_data_five_percent_are_rejected(name: str) -> None:
    p_values = [TESTS[name](*calibrated(100, seed=seed)).p_value for seed in range(300)]
    rejected = np.mean(np.array(p_values) <= 0.05)
    assert abs(rejected - 0.05) < monte_carlo(300, scale=math.sqrt(0.05 * 0.95))


def test_miscalibrated_data_are_rejected() -> None:
    p, y = calibrated(500, power=2.0)
    assert consistency_test(p, y, resamples=199).p_value == pytest.approx(1 / 200)
    assert uniformity_test(p**2).p_value < 1e-6
    _, even = calibrated(500)
    overconfident = 0.05 + 0.9 * (p > 0.5)  # Spiegelhalter's test sees wrong spread, not every wrong curve
    assert spiegelhalter_test(overconfident, even).p_value < 1e-6


def test_the_same_seed_gives_the_same_p_value() -> None:
    p, y = calibrated(80)
    assert consistency_test(p, y, seed=3) == consistency_test(p, y, seed=3)


def test_certain_and_right_predictions_are_consistent() -> None:
    assert consistency_test([0.0, 1.0], [0, 1]).p_value == 1.0
    assert uniformity_test([0.5]).p_value > 0.5
    assert uniformity_test((torch.arange(1000) + 0.5) / 1000).p_value == 1.0


def test_a_wrong_certainty_is_inconsistent() -> None:
    assert consistency_test([1.0], [0], resamples=99).p_value == pytest.approx(0.01)


def test_spiegelhalters_test_needs_a_confidence_it_can_judge() -> None:
    with pytest.raises(TooFewRowsError, match="needs a confidence other than 0, 1/2 and 1"):
        spiegelhalter_test(torch.tensor([0.0, 0.5, 1.0]), [0, 1, 1])
