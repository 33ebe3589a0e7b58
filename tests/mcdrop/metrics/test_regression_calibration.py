"""PIT, quantile calibration, coverage and ENCE, with SciPy and uncertainty-toolbox as second opinions."""

import numpy as np
import pytest
import torch
import uncertainty_toolbox as uct
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mcdrop.errors import DomainError, ShapeError, TooFewRowsError
from mcdrop.metrics import regression_calibration as rc
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64, monte_carlo

MEAN, STD, Y = normal(200), 0.5 + uniform(200), normal(200, seed=1)


def test_scipy_agrees_on_the_pit() -> None:
    expected = stats.norm(MEAN, STD).cdf(Y)
    np.testing.assert_allclose(rc.pit_gaussian(MEAN, STD, Y), expected, **FLOAT64)
    np.testing.assert_allclose(rc.pit_mixture(MEAN.unsqueeze(0), STD, Y), expected, **FLOAT64)


def test_the_pit_of_samples_counts_ties_half() -> None:
    samples = torch.tensor([[0.0], [1.0], [1.0], [2.0]])
    assert [rc.pit_samples(samples, [y]).item() for y in (-1.0, 1.0, 1.5, 3.0)] == [0.0, 0.5, 0.75, 1.0]


def test_the_levels_are_those_between_zero_and_one() -> None:
    assert rc.LEVELS[0] == 0.05
    assert rc.LEVELS[-1] == 0.95
    assert len(rc.LEVELS) == 19


def test_uncertainty_toolbox_agrees_on_the_calibration_error() -> None:
    """Its quantile proportions are mirrored, which for the mean absolute difference changes nothing here."""
    _, observed = uct.get_proportion_lists_vectorized(
        MEAN.numpy(), STD.numpy(), Y.numpy(), num_bins=21, prop_type="quantile"
    )
    ours = rc.observed_frequencies(rc.pit_gaussian(MEAN, STD, Y))
    np.testing.assert_allclose(ours, 1 - observed[1:-1][::-1], atol=1e-9)


def test_uniform_pit_values_are_calibrated() -> None:
    pit = (torch.arange(1000) + 0.5) / 1000
    assert rc.quantile_calibration_error(pit).item() == pytest.approx(0, abs=1e-9)
    np.testing.assert_allclose(rc.observed_frequencies(pit), rc.LEVELS, atol=1e-9)


def test_a_point_at_the_border_is_as_wrong_as_can_be() -> None:
    assert rc.quantile_calibration_error([1.0, 1.0]).item() == pytest.approx(0.5)


@given(st.integers(0, 300))
def test_the_error_is_the_same_for_the_mirrored_prediction(seed: int) -> None:
    pit = uniform(30, seed=seed)
    mirrored = rc.quantile_calibration_error(1 - pit).item()
    assert mirrored == pytest.approx(rc.quantile_calibration_error(pit).item(), abs=1e-9)


def test_outputs_are_scored_each() -> None:
    pit = uniform(50, 2)
    errors = rc.quantile_calibration_error(pit)
    assert errors.shape == (2,)
    torch.testing.assert_close(errors[1], rc.quantile_calibration_error(pit[:, 1]), **FLOAT64)
    assert rc.observed_frequencies(pit).shape == (19, 2)


def test_ends_of_intervals_are_inside() -> None:
    lower, upper, y = [0.0, 0.0, 0.0], [1.0, 1.0, 1.0], [0.0, 1.0, 1.1]
    assert rc.covered(lower, upper, y).tolist() == [1.0, 1.0, 0.0]
    assert rc.interval_width([0.0], [1.5]).item() == 1.5


def test_ence_of_right_standard_deviations_is_its_reference() -> None:
    error = STD * normal(200, seed=5)
    result = rc.expected_normalized_calibration_error(STD, error, bins=10)
    assert 0.5 * result.reference < result.value < result.reference_upper * 1.2
    assert result.bins == 10


def test_ence_of_halved_standard_deviations_is_about_one() -> None:
    rows = 20_000
    std = 0.5 + uniform(rows)
    result = rc.expected_normalized_calibration_error(std / 2, std * normal(rows, seed=1), simulations=20)
    assert abs(result.value - 1) < monte_carlo(rows, scale=2.0)
    assert result.value > result.reference_upper


def test_the_reference_of_ence_grows_with_the_root_of_the_number_of_bins() -> None:
    error = STD * normal(200, seed=5)
    few = rc.expected_normalized_calibration_error(STD, error, bins=5).reference
    many = rc.expected_normalized_calibration_error(STD, error, bins=20).reference
    assert many / few == pytest.approx(2, rel=0.15)


def test_ence_by_hand() -> None:
    result = rc.expected_normalized_calibration_error([1.0, 1.0, 2.0, 2.0], [1.0, 1.0, 1.0, 1.0], bins=2)
    assert result.value == pytest.approx(0.25)


def test_ence_with_one_std_for_all_rows_uses_one_bin() -> None:
    result = rc.expected_normalized_calibration_error([1.0] * 4, [2.0] * 4, bins=2)
    assert result.value == pytest.approx(1.0)


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match="std must be positive for ENCE, got 0"):
        rc.expected_normalized_calibration_error([0.0, 1.0], [1.0, 1.0])
    with pytest.raises(TooFewRowsError, match="ENCE needs at least 2 rows, got 1"):
        rc.expected_normalized_calibration_error([1.0], [1.0])
    with pytest.raises(DomainError, match="upper must not be below lower"):
        rc.covered([1.0], [0.0], [0.5])
    with pytest.raises(ShapeError, match=r"y must have shape \(1,\), got shape \(2,\)"):
        rc.covered([0.0], [1.0], [0.5, 0.5])
    with pytest.raises(DomainError, match=r"pit must lie in \[0, 1\], got 2"):
        rc.quantile_calibration_error([2.0])
    with pytest.raises(DomainError, match="std must not be negative"):
        rc.pit_gaussian([0.0], [-1.0], [0.0])
