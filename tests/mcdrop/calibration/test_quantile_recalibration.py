"""Quantile recalibration: uncertainty-toolbox's isotonic recalibration is the second opinion."""

import numpy as np
import pytest
import torch
import uncertainty_toolbox as uct
from hypothesis import given, settings
from hypothesis import strategies as st

from mcdrop.calibration.quantile_recalibration import fit_quantile_recalibration
from mcdrop.errors import DomainError, TooFewRowsError
from mcdrop.metrics.regression_calibration import quantile_calibration_error
from tests.support.predictions import uniform


def test_a_law_of_known_distortion_is_straightened() -> None:
    pit = uniform(4000).square()  # P(pit <= u) = sqrt(u)
    fitted = fit_quantile_recalibration(pit)
    levels = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    torch.testing.assert_close(fitted.apply(levels), levels.square(), rtol=0, atol=0.03)
    torch.testing.assert_close(fitted.recalibrated(levels.square()), levels, rtol=0, atol=0.03)


def test_new_rows_are_better_calibrated() -> None:
    pit = uniform(1000).square()
    after = fit_quantile_recalibration(pit[:500]).recalibrated(pit[500:])
    assert quantile_calibration_error(after) < 0.5 * quantile_calibration_error(pit[500:])


def test_uncertainty_toolbox_agrees() -> None:
    pit = uniform(200).sqrt()
    stated = np.concatenate([[0.0], pit.sort().values.numpy(), [1.0]])
    judge = uct.recalibration.iso_recal(stated, np.concatenate([np.arange(201) / 200, [1.0]]))
    levels = np.linspace(0.01, 0.99, 99)
    ours = fit_quantile_recalibration(pit).apply(levels)
    np.testing.assert_allclose(ours, judge.predict(levels), atol=1e-9)


def test_by_hand() -> None:
    fitted = fit_quantile_recalibration([0.25] * 30 + [0.5] * 10 + [0.75] * 20)
    assert list(fitted.stated) == [0, 0.25, 0.5, 0.75, 1]
    assert fitted.observed == pytest.approx((0, 0.5, 2 / 3, 1, 1))
    assert fitted.apply([0.0, 0.25, 0.5, 1.0]).tolist() == pytest.approx([0, 0.125, 0.25, 0.75])
    assert fitted.recalibrated([0.25, 0.625, 0.9]).tolist() == pytest.approx([0.5, 5 / 6, 1])


@settings(max_examples=30)
@given(st.lists(st.sampled_from([0.0, 1e-9, 0.1, 0.5, 0.9]) | st.floats(0, 1), min_size=50, max_size=60))
def test_both_maps_are_monotone_and_undo_each_other_where_the_law_has_mass(values: list[float]) -> None:
    fitted = fit_quantile_recalibration(values)
    levels = torch.linspace(0, 1, 21, dtype=torch.float64)
    for mapped in (fitted.apply(levels), fitted.recalibrated(levels)):
        assert bool((mapped.diff() >= 0).all())
        assert 0 <= mapped.min() <= mapped.max() <= 1
    observed = torch.tensor(fitted.observed, dtype=torch.float64)
    assert fitted.recalibrated(fitted.apply(observed)).tolist() == pytest.approx(fitted.observed, abs=1e-9)


def test_many_rows_become_a_thousand_knots() -> None:
    fitted = fit_quantile_recalibration(uniform(20_000))
    assert len(fitted.stated) == 1002
    levels = torch.linspace(0.05, 0.95, 19, dtype=torch.float64)
    torch.testing.assert_close(fitted.apply(levels), levels, rtol=0, atol=0.02)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="quantile recalibration needs at least 50 rows, got 49"):
        fit_quantile_recalibration(uniform(49))
    with pytest.raises(DomainError, match=r"pit must lie in \[0, 1\], got 1.5 at row 0"):
        fit_quantile_recalibration([1.5] * 50)
    with pytest.raises(DomainError, match=r"level must lie in \[0, 1\], got 2"):
        fit_quantile_recalibration(uniform(50)).apply([2.0])
