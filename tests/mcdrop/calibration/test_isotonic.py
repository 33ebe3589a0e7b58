"""Isotonic calibration, with scikit-learn as the second opinion."""

import numpy as np
import pytest
import torch
from sklearn.isotonic import IsotonicRegression

from mcdrop.calibration.isotonic import fit_binary_isotonic, fit_class_isotonic
from mcdrop.errors import ShapeError, TooFewRowsError
from mcdrop.metrics.classification import binary_brier_score
from tests.support.predictions import calibrated, normal, permutation, uniform


def test_scikit_learn_agrees() -> None:
    p, y = calibrated(300, power=2.0)
    ours = fit_binary_isotonic(p, y).apply(p)
    np.testing.assert_allclose(ours, IsotonicRegression().fit_transform(p.numpy(), y.numpy()), atol=1e-9)


def test_it_makes_the_brier_score_of_its_rows_no_worse_and_of_new_rows_better() -> None:
    p, y = calibrated(2000, power=3.0)
    fitted = fit_binary_isotonic(p[:1000], y[:1000])
    for rows in (slice(0, 1000), slice(1000, 2000)):
        after = binary_brier_score(fitted.apply(p[rows]), y[rows]).mean()
        assert after < binary_brier_score(p[rows], y[rows]).mean()


def test_calibrated_laws_sum_to_one() -> None:
    probs, y = (2 * normal(200, 4)).softmax(-1), permutation(200) % 4
    applied = fit_class_isotonic(probs, y).apply(probs)
    assert applied.sum(-1).sub(1).abs().max() < 1e-12


def test_a_row_whose_classes_all_map_to_zero_becomes_uniform() -> None:
    y = torch.arange(60) % 2
    probs = torch.nn.functional.one_hot(y, 3).double()
    applied = fit_class_isotonic(probs, y).apply([[0.0, 0.0, 1.0]])
    assert applied.tolist() == [[1 / 3] * 3]


def test_pixels_are_rows_of_pairs_and_keep_their_shape() -> None:
    p = uniform(60, 2)
    assert fit_binary_isotonic(p, (p > 0.5).double()).apply(p).shape == (60, 2)


def test_bad_input_is_refused() -> None:
    with pytest.raises(TooFewRowsError, match="isotonic calibration needs at least 50 rows, got 10"):
        fit_binary_isotonic(*calibrated(10))
    fitted = fit_class_isotonic(normal(60, 3).softmax(-1), permutation(60) % 3)
    with pytest.raises(ShapeError, match=r"probs must have 3 classes, got shape \(1, 2\)"):
        fitted.apply([[0.5, 0.5]])
