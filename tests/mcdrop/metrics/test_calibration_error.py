"""Binned calibration errors: edges by hand, laws, torchmetrics and Kumar's formula as second opinions."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torchmetrics.functional.classification import binary_calibration_error, multiclass_calibration_error

from mcdrop.errors import DomainError, OptionError, ShapeError
from mcdrop.metrics import calibration_error as ce
from mcdrop.metrics.reliability import Binning, reliability
from tests.support.predictions import calibrated, labelled_confidences, normal, permutation
from tests.support.tolerances import FLOAT32, FLOAT64, monte_carlo


def test_a_confidence_of_one_is_in_the_last_bin_and_not_in_one_of_its_own() -> None:
    confidence, event = [1.0, 0.95], [1, 0]
    assert ce.expected_calibration_error(confidence, event, bins=10).item() == pytest.approx(0.475)


def test_by_hand() -> None:
    confidence, event = [0.1, 0.1, 0.9, 0.9], [0, 1, 1, 1]
    assert ce.expected_calibration_error(confidence, event, bins=2).item() == pytest.approx(0.25)
    assert ce.maximum_calibration_error(confidence, event, bins=2).item() == pytest.approx(0.4)


def test_torchmetrics_agrees_where_no_confidence_is_exactly_one() -> None:
    confidence, event = calibrated(500, power=2.0)
    ours = ce.expected_calibration_error(confidence, event).item()
    theirs = binary_calibration_error(confidence, event.long(), n_bins=15)
    assert ours == pytest.approx(theirs.item(), rel=1e-5)
    top = ce.maximum_calibration_error(confidence, event).item()
    assert top == pytest.approx(
        binary_calibration_error(confidence, event.long(), n_bins=15, norm="max").item()
    )


def test_torchmetrics_agrees_on_the_top_label() -> None:
    probs, y = normal(300, 4).softmax(-1), permutation(300) % 4
    ours = ce.expected_calibration_error(*ce.top_label(probs, y))
    theirs = multiclass_calibration_error(probs, y, num_classes=4, n_bins=15)
    torch.testing.assert_close(ours, theirs.double(), **FLOAT32)


def test_the_classwise_error_is_that_of_each_class_against_the_rest() -> None:
    probs, y = normal(300, 3).softmax(-1), permutation(300) % 3
    errors = ce.classwise_calibration_error(probs, y)
    assert errors.shape == (3,)
    for c in range(3):
        theirs = binary_calibration_error(probs[:, c].contiguous(), (y == c).long(), n_bins=15)
        torch.testing.assert_close(errors[c], theirs.double(), **FLOAT32)


@given(labelled_confidences(), st.integers(1, 20), st.sampled_from(["equal_width", "equal_mass"]))
def test_errors_lie_between_zero_and_one_and_the_mean_below_the_maximum(
    pairs: tuple[Tensor, Tensor], bins: int, binning: Binning
) -> None:
    mean = ce.expected_calibration_error(*pairs, bins=bins, binning=binning).item()
    most = ce.maximum_calibration_error(*pairs, bins=bins, binning=binning).item()
    assert 0 <= mean <= most + 1e-12
    assert most <= 1
    assert 0 <= ce.debiased_l2_error(*pairs, bins=bins, binning=binning).item() <= 1


@given(labelled_confidences(), st.integers(1, 20), st.integers(0, 99))
def test_the_order_of_the_rows_changes_nothing(pairs: tuple[Tensor, Tensor], bins: int, seed: int) -> None:
    order = permutation(len(pairs[0]), seed=seed)
    shuffled = (pairs[0][order], pairs[1][order])
    for binning in ("equal_width", "equal_mass"):
        torch.testing.assert_close(
            ce.expected_calibration_error(*shuffled, bins=bins, binning=binning),
            ce.expected_calibration_error(*pairs, bins=bins, binning=binning),
            **FLOAT64,
        )


@given(labelled_confidences(), labelled_confidences())
def test_merged_bins_are_those_of_all_pairs(one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor]) -> None:
    both = reliability(torch.cat([one[0], two[0]]), torch.cat([one[1], two[1]]))
    merged = reliability(*one).merge(reliability(*two))
    torch.testing.assert_close(merged.expected_error(), both.expected_error(), **FLOAT64)
    torch.testing.assert_close(ce.squared_l2_error(merged), ce.squared_l2_error(both), **FLOAT64)


def test_kumars_formula_agrees_where_a_bin_has_one_confidence() -> None:
    confidence = torch.tensor([0.2, 0.6, 0.9], dtype=torch.float64).repeat(30)
    event = calibrated(90)[1]
    terms = []
    for value in (0.2, 0.6, 0.9):
        labels = event[confidence == value].numpy()
        frequency, count = labels.mean(), len(labels)
        noise = frequency * (1 - frequency) / (count - 1)
        terms.append(count / 90 * ((value - frequency) ** 2 - noise))
    expected = np.sqrt(max(0, sum(terms)))
    assert ce.debiased_l2_error(confidence, event, bins=3).item() == pytest.approx(expected)


def test_the_squared_error_is_unbiased_on_calibrated_data_and_the_plain_one_is_not() -> None:
    squares, plain = [], []
    for seed in range(400):
        bins = reliability(*calibrated(150, seed=seed), binning="equal_mass")
        squares.append(ce.squared_l2_error(bins).item())
        plain.append((bins.count / 150 * bins.gap.square()).sum().item())
    assert abs(np.mean(squares)) < monte_carlo(400, scale=float(np.std(squares)))
    assert np.mean(plain) > monte_carlo(400, scale=float(np.std(plain)))


def test_a_bin_with_one_row_adds_nothing_to_the_debiased_error() -> None:
    assert ce.debiased_l2_error([0.1, 0.9], [1, 0], bins=2).item() == 0


def test_one_row_and_one_class() -> None:
    assert ce.expected_calibration_error([0.3], [1]).item() == pytest.approx(0.7)
    assert ce.classwise_calibration_error([[1.0], [1.0]], [0, 0]).tolist() == [0.0]


def test_pixels_are_pairs_too() -> None:
    probs = normal(4, 3, 5).softmax(1)
    confidence, event = ce.top_label(probs, torch.zeros(4, 5), class_axis=1)
    assert confidence.shape == event.shape == (20,)


def test_bad_input_is_refused() -> None:
    with pytest.raises(OptionError, match="bins must be at least 1, got 0"):
        ce.expected_calibration_error([0.5], [1], bins=0)
    with pytest.raises(OptionError, match="binning must be one of equal_width, equal_mass, got 'quantile'"):
        reliability([0.5], [1], binning="quantile")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"event must have shape \(1,\), got shape \(2,\)"):
        ce.expected_calibration_error([0.5], [1, 0])
    with pytest.raises(DomainError, match=r"confidence must lie in \[0, 1\], got 1.5 at row 0"):
        ce.expected_calibration_error([1.5], [1])
