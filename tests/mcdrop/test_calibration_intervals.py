"""Intervals of calibration errors: they hold their estimates, and in small simulations the truth."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from mcdrop import calibration_intervals as intervals
from mcdrop.errors import TooFewRowsError
from mcdrop.metrics.calibration_error import debiased_l2_error, expected_calibration_error
from mcdrop.metrics.regression_calibration import expected_normalized_calibration_error
from mcdrop.metrics.smooth_calibration import smooth_calibration_error
from tests.support.predictions import calibrated, labelled_confidences, normal, uniform
from tests.support.tolerances import monte_carlo

TRIALS = 200
LEAST = 0.95 - monte_carlo(TRIALS, scale=math.sqrt(0.95 * 0.05))


@given(labelled_confidences(least=2))
def test_intervals_of_calibration_errors_hold_their_estimates(pairs: tuple[Tensor, Tensor]) -> None:
    ece = intervals.ece_interval(*pairs, resamples=50)
    value = expected_calibration_error(*pairs).item()
    assert 0 <= ece.lower <= value + 1e-9
    assert value <= ece.upper + 1e-9
    l2 = intervals.l2_interval(*pairs)
    estimate = debiased_l2_error(*pairs).item()
    assert 0 <= l2.lower <= estimate + 1e-9
    assert min(estimate, 1.0) <= l2.upper + 1e-9


@given(labelled_confidences(least=2))
def test_intervals_of_the_smooth_error_hold_their_estimates(pairs: tuple[Tensor, Tensor]) -> None:
    found, value = intervals.smooth_interval(*pairs, resamples=5), smooth_calibration_error(*pairs)
    assert 0 <= found.lower <= value <= found.upper <= 1


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_intervals_of_the_smooth_error_cover(power: float) -> None:
    truth = 0.0 if power == 1 else 1 / 6  # all gaps p - p^2 have one sign, so that smoothing cancels nothing
    pairs = (calibrated(200, seed=seed, power=power) for seed in range(60))
    found = [intervals.smooth_interval(*each, resamples=50) for each in pairs]
    hits = np.mean([each.lower <= truth <= each.upper for each in found])
    assert hits >= 0.95 - monte_carlo(60, scale=math.sqrt(0.95 * 0.05))


def test_many_rows_take_the_limit_and_agree_with_the_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    pairs = calibrated(3000, power=1.5)
    exact = intervals.smooth_interval(*pairs)
    monkeypatch.setattr("mcdrop.metrics.smooth_calibration.ROW_LIMIT", 1000)
    limit = intervals.smooth_interval(*pairs)
    assert limit.lower == pytest.approx(exact.lower, abs=0.004)
    assert limit.upper == pytest.approx(exact.upper, abs=0.004)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_intervals_of_ence_cover(factor: float) -> None:
    hits = []
    for seed in range(TRIALS):
        std = 0.2 + 2 * uniform(400, seed=seed)
        interval = intervals.ence_interval(std, factor * std * normal(400, seed=seed + 1000))
        hits.append(interval.lower <= abs(factor - 1) <= interval.upper)
    assert np.mean(hits) >= LEAST


def test_ence_has_an_interval_from_twenty_rows_in_a_bin_on() -> None:
    std, error = 0.1 + uniform(300), normal(300)
    found = intervals.ence_interval(std, error)
    value = expected_normalized_calibration_error(std, error).value
    assert found.lower <= value <= found.upper
    with pytest.raises(TooFewRowsError, match="in each of its bins, needs at least 20 rows, got 19"):
        intervals.ence_interval(std[:290], error[:290])
    flat = intervals.ence_interval(torch.ones(40), torch.zeros(40))  # one level, and no error at all
    assert flat.lower == pytest.approx(1)
    assert flat.upper == pytest.approx(1)


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    p, y = calibrated(50)
    whole = intervals.ece_interval(p, y, resamples=40)
    monkeypatch.setattr("mcdrop.metrics.resampling._CHUNK", 200)
    assert intervals.ece_interval(p, y, resamples=40).lower == pytest.approx(whole.lower, abs=0.01)


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_intervals_of_the_calibration_error_cover(power: float) -> None:
    truth = sum(abs(gap) for gap in _gaps(power)) / 15
    hits = []
    for seed in range(TRIALS):
        interval = intervals.ece_interval(*calibrated(200, seed=seed, power=power), resamples=100)
        hits.append(interval.lower <= truth <= interval.upper)
    assert np.mean(hits) >= LEAST


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_intervals_of_the_l2_error_cover(power: float) -> None:
    truth = math.sqrt(sum(gap**2 for gap in _gaps(power)) / 15)
    hits = []
    for seed in range(TRIALS):
        interval = intervals.l2_interval(*calibrated(200, seed=seed, power=power))
        hits.append(interval.lower <= truth <= interval.upper)
    assert np.mean(hits) >= LEAST


def test_intervals_of_the_quantile_calibration_error_begin_at_zero_on_calibrated_rows() -> None:
    hits = [intervals.qce_interval(uniform(100, seed=s), resamples=60).lower == 0 for s in range(TRIALS)]
    assert np.mean(hits) >= LEAST
    assert intervals.qce_interval(uniform(100) ** 3, resamples=60).lower > 0


def test_miscalibration_is_seen() -> None:
    pairs = calibrated(2000, power=3.0)
    assert intervals.ece_interval(*pairs).lower > 0.1
    assert intervals.l2_interval(*pairs).lower > 0.1


def test_one_row_has_no_interval() -> None:
    with pytest.raises(
        TooFewRowsError, match="an interval of a calibration error needs at least 2 rows, got 1"
    ):
        intervals.ece_interval([1.0], [1])
    with pytest.raises(TooFewRowsError, match="needs at least 2 rows, got 1"):
        intervals.l2_interval([1.0], [1])
    with pytest.raises(TooFewRowsError, match="needs at least 2 rows, got 1"):
        intervals.qce_interval([1.0])


def _gaps(power: float) -> list[float]:
    """The true gaps of 15 bins: means of p - p^power for uniform p."""
    return [
        (0.5 * (b**2 - a**2) - (b ** (power + 1) - a ** (power + 1)) / (power + 1)) / (b - a)
        for a, b in ((k / 15, (k + 1) / 15) for k in range(15))
    ]
