"""As many samples as a tolerance takes: rows stop one by one, with what n_samples=k would have given them."""

from typing import Any

import pytest
import torch
from torch import nn

from mcdrop import MCDropout, load_predictions
from mcdrop.errors import OptionError, SamplesNotKeptError
from mcdrop.predictive import Predictive
from tests.support.networks import classifier, features, fixed, regressor
from tests.support.predictives import assert_same_rows
from tests.support.tolerances import EXACT, FLOAT32, Tolerance

X = features(70)
TOLERANCE = 0.01
CLASSIFIER = MCDropout(classifier(), task="classification", n_samples="auto", tolerance=TOLERANCE)
AUTO: dict[str, Any] = {"n_samples": "auto", "tolerance": TOLERANCE, "max_samples": 150}


def assert_prefix(mc: MCDropout, found: Predictive, tolerance: Tolerance, **options: Any) -> None:
    """Fail unless each row is that of a prediction with as many samples as it took."""
    names = (*mc.predict(X, n_samples=2).available_outputs(), "level_values")
    for taken in found.samples_taken.unique().tolist():
        rows = (found.samples_taken == taken).nonzero().flatten()
        expected = mc.predict(X, n_samples=taken, **options)[rows]
        for name in names:
            torch.testing.assert_close(getattr(found[rows], name), getattr(expected, name), **tolerance)


@pytest.mark.parametrize("masks", ["consistent", "independent"])
@pytest.mark.parametrize(("exact", "tolerance"), [(True, EXACT), (False, FLOAT32)])
def test_a_row_has_the_numbers_of_the_samples_that_it_took(
    masks: str, exact: bool, tolerance: Tolerance
) -> None:
    mc = MCDropout(classifier(), task="classification", masks=masks)
    options: dict[str, Any] = {"exact": exact, "quantiles": [0.1, 0.9]}
    found = mc.predict(X, **AUTO, **options)
    assert len(found.samples_taken.unique()) > 3
    assert_prefix(mc, found, tolerance, **options)


def test_the_noise_of_a_regression_does_not_count_as_error_of_the_mean() -> None:
    mc = MCDropout(regressor(), task="regression", tau=2.0)
    found = mc.predict(X, n_samples="auto", tolerance=0.02, exact=True, quantiles=[0.5])
    assert_prefix(mc, found, EXACT, exact=True, quantiles=[0.5])
    assert found.standard_error.max() <= 0.02


def test_rows_stop_after_whole_blocks_when_every_element_is_known_well_enough() -> None:
    found = CLASSIFIER.predict(X, exact=True)
    assert found.samples_taken.dtype == torch.int64
    assert found.samples_taken.min() >= 32
    assert (found.samples_taken % 16 == 0).all()
    assert found.converged is not None
    assert found.converged.all()
    assert found.standard_error.max() <= TOLERANCE
    assert found.notes == ()
    for taken in found.samples_taken.unique().tolist():  # one block before, they were not there yet
        before = CLASSIFIER.predict(X, n_samples=max(taken - 16, 16), exact=True)
        rows = found.samples_taken == taken
        assert taken == 32 or (before.standard_error[rows].amax(1) > TOLERANCE).all()


def test_a_row_that_takes_the_most_says_so() -> None:
    found = CLASSIFIER.predict(X, max_samples=40)
    late = found.samples_taken == 40
    assert found.converged is not None
    assert late.any()
    assert not found.converged[late].all()
    assert found.notes == ("not_converged",)
    assert found[:3].sampled.tolerance == TOLERANCE


def test_one_row_that_did_not_converge_is_noted_for_all() -> None:
    found = CLASSIFIER.predict(X, max_samples=96)
    assert found.converged is not None
    known, unknown = found[found.converged.tolist()], found[(~found.converged).tolist()]
    assert len(known) * len(unknown) > 0
    whole = CLASSIFIER.predict(iter(X.split(9)), max_samples=96)
    assert whole.notes == ("not_converged",)


def test_rows_that_do_not_move_stop_at_once() -> None:
    first = nn.Linear(6, 6)
    nn.init.eye_(first.weight)
    nn.init.zeros_(first.bias)
    model = nn.Sequential(first, nn.ReLU(), nn.Dropout(0.5), fixed(nn.Linear(6, 1)))
    mc = MCDropout(model, task="regression")
    mc.trace(X)
    found = mc.predict(-X.abs(), n_samples="auto", tolerance=1e-9)
    assert found.samples_taken.tolist() == [32] * 70
    assert found.notes == ("zero_variance",)


def test_rows_of_nan_never_converge() -> None:
    spoiled = X.clone()
    spoiled[3, 1] = torch.nan
    found = CLASSIFIER.predict(spoiled, max_samples=512)
    assert found.converged is not None
    assert found.converged.logical_not().nonzero().flatten().tolist() == [3]
    assert found.samples_taken[3] == 512


def test_the_answer_of_a_row_does_not_depend_on_the_others() -> None:
    whole = CLASSIFIER.predict(X, exact=True, quantiles=[0.2])
    for rows in ([5], [69, 3, 3, 40], list(range(69, -1, -1))):
        assert_same_rows(CLASSIFIER.predict(X[rows], exact=True, quantiles=[0.2]), whole[rows])


def test_plain_draws_take_more_samples_than_stratified_ones() -> None:
    options: dict[str, Any] = {"task": "classification", "n_samples": "auto", "tolerance": TOLERANCE}
    plain = MCDropout(classifier(), rng="philox-1-plain", **options).predict(X)
    assert CLASSIFIER.predict(X).samples_taken.sum() < plain.samples_taken.sum()


@pytest.mark.parametrize("tolerance", [0.02, 0.01, 0.006])
def test_the_error_at_which_rows_stop_is_about_the_tolerance_or_less(tolerance: float) -> None:
    """Of the element that is known worst: it decides when a row stops."""
    truth = CLASSIFIER.predict(X, n_samples=8000).mean
    found = [CLASSIFIER.predict(X, tolerance=tolerance, seed=seed) for seed in range(1, 13)]
    worst = [pred.standard_error.argmax(1, keepdim=True) for pred in found]
    errors = [(pred.mean - truth).gather(1, element) for pred, element in zip(found, worst, strict=True)]
    assert torch.cat(errors).square().mean().sqrt() <= 1.1 * tolerance


def test_a_saved_result_says_how_many_samples_its_rows_took(tmp_path: Any) -> None:
    found = CLASSIFIER.predict(X)
    found.save(tmp_path / "p.npz")
    assert_same_rows(load_predictions(tmp_path / "p.npz"), found)
    assert {"samples_taken", "converged"} <= found.numpy().keys()


def test_without_a_tolerance_all_rows_take_the_same() -> None:
    found = CLASSIFIER.predict(X, n_samples=20)
    assert found.samples_taken.tolist() == [20] * 70
    assert (found.converged, found.sampled.tolerance) == (None, None)
    assert "samples_taken" not in found.available_outputs()


def test_samples_of_different_numbers_are_not_kept() -> None:
    with pytest.raises(OptionError, match="keep_samples=True needs a number of samples"):
        CLASSIFIER.predict(X, keep_samples=True)
    with pytest.raises(SamplesNotKeptError):
        _ = CLASSIFIER.predict(X).samples


def test_what_needs_one_number_of_samples_asks_for_it(tmp_path: Any) -> None:
    for call in (CLASSIFIER.sample, CLASSIFIER.sensitivity):
        with pytest.raises(OptionError, match="n_samples='auto' decides row by row, in predict"):
            call(X)
    assert CLASSIFIER.sample(X, n_samples=3).shape == (3, 70, 3)
    with pytest.raises(OptionError, match="a checkpoint has one number of samples"):
        CLASSIFIER.save(tmp_path / "saved", architecture="package.module:make")
