"""Corners in which scores go wrong: one row, one class, certainty, edges of bins, no spread, one sample."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mcdrop.metrics.calibration_error import (
    classwise_calibration_error,
    debiased_l2_error,
    expected_calibration_error,
    maximum_calibration_error,
    top_label,
)
from mcdrop.metrics.calibration_tests import consistency_test, uniformity_test
from mcdrop.metrics.classification import (
    accuracy,
    binary_brier_score,
    binary_negative_log_likelihood,
    brier_score,
    multilabel_brier_score,
    negative_log_likelihood,
)
from mcdrop.metrics.corp import brier_split, class_brier_split
from mcdrop.metrics.crps import crps_gaussian, crps_mixture
from mcdrop.metrics.ranking import area_under_generalized_risk_coverage, area_under_risk_coverage
from mcdrop.metrics.regression import (
    gaussian_negative_log_likelihood,
    interval_score,
    mixture_negative_log_likelihood,
    pinball_loss,
    root_mean_squared_error,
)
from mcdrop.metrics.regression_calibration import (
    covered,
    pit_gaussian,
    pit_samples,
    quantile_calibration_error,
)
from mcdrop.metrics.smooth_calibration import smooth_calibration_error
from mcdrop.uncertainty import expected_entropy, mutual_information, predictive_entropy, variation_ratio

Error = Callable[[list[float], list[int]], Tensor | float]
ERRORS: list[Error] = [
    expected_calibration_error,
    maximum_calibration_error,
    debiased_l2_error,
    smooth_calibration_error,
    lambda p, y: brier_split(p, y).miscalibration,
]


def of(error: Error, p: list[float], y: list[int]) -> float:
    return float(error(p, y))


@pytest.mark.parametrize("error", ERRORS)
def test_certain_and_right_is_no_error_and_certain_and_wrong_is_the_largest(error: Error) -> None:
    assert of(error, [0.0, 1.0, 1.0, 0.0], [0, 1, 1, 0]) == pytest.approx(0, abs=1e-9)
    if error is not ERRORS[-1]:  # turned around, confidences say all there is to know
        assert of(error, [0.0, 0.0, 0.0, 0.0], [1, 1, 1, 1]) == pytest.approx(1, abs=1e-6)


def test_a_value_on_an_edge_belongs_to_the_bin_below() -> None:
    for error in (expected_calibration_error, maximum_calibration_error):
        assert error([0.5, 0.4], [1, 0], bins=2).item() == pytest.approx(0.05)  # both in the lower half


def test_one_row() -> None:
    law, y = [[0.7, 0.3]], [0]
    assert accuracy(law, y).item() == 1
    assert brier_score(law, y).tolist() == pytest.approx([0.18])
    assert negative_log_likelihood(law, y).tolist() == pytest.approx([-math.log(0.7)])
    assert class_brier_split(law, y).miscalibration == pytest.approx(0.18)
    assert expected_calibration_error(*top_label(law, y)).item() == pytest.approx(0.3)
    assert debiased_l2_error([0.7], [1]).item() == 0  # one row has no variance to subtract
    assert root_mean_squared_error([1.0], [3.0]).item() == 2
    assert quantile_calibration_error([0.5]).item() == pytest.approx(0.25, abs=0.03)
    assert uniformity_test([0.5]).p_value > 0.5
    assert consistency_test([0.7], [1]).p_value > 0.05
    assert area_under_risk_coverage([0.1], [1.0]).item() == 1
    assert area_under_generalized_risk_coverage([0.1], [1.0]).item() == pytest.approx(0.5)


def test_one_class_is_certain_and_right() -> None:
    law, y = torch.ones(5, 1), torch.zeros(5)
    assert accuracy(law, y).item() == 1
    assert brier_score(law, y).tolist() == [0] * 5
    assert negative_log_likelihood(law, y).tolist() == [0] * 5
    assert classwise_calibration_error(law, y).tolist() == [0]
    assert predictive_entropy(law.unsqueeze(0)).tolist() == [0] * 5


def test_certainty_that_fails_costs_infinitely_much_and_is_not_clipped() -> None:
    assert negative_log_likelihood([[1.0, 0.0]], [1]).item() == math.inf
    assert binary_negative_log_likelihood([0.0], [1]).item() == math.inf
    assert binary_brier_score([0.0], [1]).item() == 1
    assert multilabel_brier_score([[0.0, 1.0]], [[1, 1]]).item() == 0.5


def test_a_std_of_zero_is_a_point() -> None:
    assert crps_gaussian([1.0], [0.0], [3.0]).item() == 2
    assert gaussian_negative_log_likelihood([1.0], [0.0], [3.0]).item() == math.inf
    assert gaussian_negative_log_likelihood([1.0], [0.0], [1.0]).item() == -math.inf
    assert pit_gaussian([1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [0.0, 1.0, 2.0]).tolist() == [0, 1, 1]
    assert interval_score([1.0], [1.0], [1.0], level=0.9).item() == 0
    assert covered([1.0], [1.0], [1.0]).item() == 1
    assert pinball_loss([1.0], [1.0], level=0.3).item() == 0


def test_one_sample_has_no_spread_of_its_own() -> None:
    law = torch.tensor([[[0.25, 0.75]]])
    assert mutual_information(law).item() == 0
    assert variation_ratio(law).item() == 0
    assert predictive_entropy(law).item() == expected_entropy(law).item()
    assert crps_mixture([[1.0]], [[0.5]], [2.0]).item() == pytest.approx(
        crps_gaussian([1.0], [0.5], [2.0]).item()
    )
    single = mixture_negative_log_likelihood([[1.0]], [[0.5]], [2.0]).item()
    assert single == pytest.approx(gaussian_negative_log_likelihood([1.0], [0.5], [2.0]).item())
    assert pit_samples([[1.0]], [1.0]).item() == 0.5


def test_ties_share_what_they_get() -> None:
    loss = [1.0, 0.0, 0.0, 1.0]
    for order in ([0, 1, 2, 3], [3, 1, 0, 2]):
        found = area_under_risk_coverage([0.5] * 4, [loss[i] for i in order]).item()
        assert found == pytest.approx(0.5)
    assert expected_calibration_error([0.5] * 4, [1, 0, 0, 1], binning="equal_mass", bins=3).item() == 0


def test_the_split_is_that_of_the_isotonic_fit_by_its_min_max_formula() -> None:
    """At each row the largest, over starts before it, of the smallest mean over ends behind it."""
    p = torch.tensor([0.1, 0.2, 0.35, 0.5, 0.6, 0.8, 0.9], dtype=torch.float64)
    y = torch.tensor([0, 1, 0, 0, 1, 0, 1], dtype=torch.float64)
    fit = [max(min(y[a : b + 1].mean().item() for b in range(i, 7)) for a in range(i + 1)) for i in range(7)]
    expected = (torch.tensor(fit, dtype=torch.float64) - y).square().mean().item()
    assert brier_split(p, y).refinement == pytest.approx(expected)
