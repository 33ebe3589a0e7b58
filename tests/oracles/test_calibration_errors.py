"""Calibration errors against netcal, uncertainty-calibration and MAPIE.

Run by `make oracles`, in an environment of its own. On data without a value on an edge of a bin; the edges
have tests of their own in tests/mcdrop/metrics.
"""

import pytest
import torch

from mcdrop.metrics.calibration_error import (
    classwise_calibration_error,
    debiased_l2_error,
    expected_calibration_error,
    maximum_calibration_error,
    top_label,
)
from mcdrop.metrics.calibration_tests import spiegelhalter_test
from mcdrop.metrics.regression_calibration import expected_normalized_calibration_error
from tests.support.predictions import calibrated, normal, permutation

netcal = pytest.importorskip("netcal.metrics", reason="run by: make oracles")
regression = pytest.importorskip("netcal.metrics.regression", reason="run by: make oracles")
calibration = pytest.importorskip("calibration", reason="run by: make oracles")
mapie = pytest.importorskip("mapie.metrics.calibration", reason="run by: make oracles")

POWERS = pytest.mark.parametrize("power", [0.5, 1.0, 2.0])


@POWERS
def test_the_expected_error_of_equal_width(power: float) -> None:
    p, y = calibrated(800, power=power)
    ours = expected_calibration_error(p, y).item()
    assert netcal.ECE(15).measure(p.numpy(), y.numpy()) == pytest.approx(ours)
    assert calibration.get_ece(p.numpy(), y.int().numpy(), num_bins=15) == pytest.approx(ours)


@POWERS
def test_mapie_makes_one_bin_less_than_it_is_told(power: float) -> None:
    p, y = calibrated(800, power=power)
    ours = expected_calibration_error(p, y).item()
    assert mapie.expected_calibration_error(y.numpy(), p.numpy(), num_bins=16) == pytest.approx(ours)


@POWERS
def test_the_maximum_error(power: float) -> None:
    p, y = calibrated(800, power=power)
    assert netcal.MCE(15).measure(p.numpy(), y.numpy()) == pytest.approx(
        maximum_calibration_error(p, y).item()
    )


def test_the_expected_error_of_equal_mass_with_bins_that_divide_the_rows() -> None:
    p, y = calibrated(750, power=2.0)
    ours = expected_calibration_error(p, y, binning="equal_mass").item()
    assert calibration.get_ece_em(p.numpy(), y.int().numpy(), num_bins=15) == pytest.approx(ours, rel=0.02)


def test_the_debiased_error_is_near_kumars_who_subtracts_the_variance_of_the_events() -> None:
    p, y = calibrated(3000, power=2.0)
    theirs = calibration.get_calibration_error(p.numpy(), y.int().numpy(), p=2, debias=True)
    assert debiased_l2_error(p, y).item() == pytest.approx(theirs, rel=0.02)


def test_the_top_label_error_of_many_classes() -> None:
    probs, y = (2 * normal(600, 5)).softmax(-1), permutation(600) % 5
    ours = expected_calibration_error(*top_label(probs, y)).item()
    assert netcal.ECE(15).measure(probs.numpy(), y.numpy()) == pytest.approx(ours)
    assert mapie.top_label_ece(y.numpy(), probs.numpy(), num_bins=16) > 0  # by label: another error


def test_the_error_of_each_class() -> None:
    probs, y = (2 * normal(600, 3)).softmax(-1), permutation(600) % 3
    ours = classwise_calibration_error(probs, y)
    for c in range(3):
        theirs = netcal.ECE(15).measure(probs[:, c].numpy(), (y == c).numpy().astype(int))
        assert theirs == pytest.approx(ours[c].item())


@POWERS
def test_spiegelhalters_test_of_mapie_is_one_sided(power: float) -> None:
    p, y = calibrated(400, power=power)
    one_sided = mapie.spiegelhalter_p_value(y.numpy(), p.numpy())
    ours = spiegelhalter_test(p, y).p_value
    assert 2 * min(one_sided, 1 - one_sided) == pytest.approx(ours, rel=1e-6, abs=1e-12)


def test_the_normalised_error_where_bins_of_equal_width_hold_equally_many_rows() -> None:
    rows, bins = 300, 15
    std = 0.5 + (torch.arange(rows, dtype=torch.float64) + 0.5) / rows
    error = 1.3 * std * normal(rows)
    theirs = regression.ENCE(bins).measure((torch.zeros(rows).numpy(), std.numpy()), error.numpy())
    ours = expected_normalized_calibration_error(std, error, bins=bins).value
    assert float(theirs) == pytest.approx(ours)
