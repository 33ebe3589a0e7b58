"""The predictive of a classifier against brute force over its samples."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import Tensor, nn

import mcdrop
from mcdrop.errors import DomainError, ShapeError
from mcdrop.evaluation import evaluate
from mcdrop.predictive import ClassificationPredictive, Predictive, task_named
from mcdrop.shapes import SUM_TOLERANCE
from tests.support.predictives import predictive_of, raw_outputs
from tests.support.tolerances import EXACT, FLOAT32, FLOAT64

shapes = st.tuples(st.integers(2, 40), st.integers(1, 4), st.integers(2, 5))


def classified(raw: Tensor, **options: object) -> ClassificationPredictive:
    found = predictive_of(raw, task_named("classification", **options))  # type: ignore[arg-type]
    assert isinstance(found, ClassificationPredictive)
    return found


def brute_force(raw: Tensor) -> tuple[NDArray[np.float64], ...]:
    """Probabilities, entropy of their mean, and mean of their entropies, by SciPy."""
    probs = scipy.special.softmax(raw.double().numpy(), axis=2)
    return probs, scipy.stats.entropy(probs.mean(0), axis=1), scipy.stats.entropy(probs, axis=2).mean(0)


@given(shapes, st.integers(0, 100))
def test_every_number_agrees_with_brute_force(shape: tuple[int, int, int], seed: int) -> None:
    raw = 3 * raw_outputs(*shape, seed=seed)
    probs, total, aleatoric = brute_force(raw)
    pred = classified(raw)
    np.testing.assert_allclose(pred.samples, probs, **FLOAT32)
    np.testing.assert_allclose(pred.mean, probs.mean(0), **FLOAT32)
    np.testing.assert_allclose(pred.std, probs.std(0, ddof=1), **FLOAT32)
    np.testing.assert_allclose(pred.predictive_entropy, total, **FLOAT32)
    np.testing.assert_allclose(pred.expected_entropy, aleatoric, **FLOAT32)
    np.testing.assert_allclose(pred.mutual_information, total - aleatoric, **FLOAT32)
    np.testing.assert_allclose(pred.deterministic, probs[0], **FLOAT32)
    assert pred.label.tolist() == probs.mean(0).argmax(1).tolist()


def test_probabilities_of_a_pixel_have_the_same_bits_alone_and_among_others() -> None:
    raw, task = 3 * raw_outputs(16, 2, 4, 35), task_named("classification")
    law = task.law(raw)
    np.testing.assert_allclose(law, scipy.special.softmax(raw.double().numpy(), axis=2), **FLOAT64)
    for pixel in range(35):
        assert torch.equal(task.law(raw[..., pixel : pixel + 1]), law[..., pixel : pixel + 1])


@given(shapes, st.integers(0, 100), st.floats(0, 50))
def test_total_is_aleatoric_plus_epistemic(shape: tuple[int, int, int], seed: int, scale: float) -> None:
    pred = classified(scale * raw_outputs(*shape, seed=seed))
    total = pred.expected_entropy + pred.mutual_information
    torch.testing.assert_close(pred.predictive_entropy, total, **FLOAT32)


@given(shapes, st.integers(0, 100), st.floats(0, 50))
def test_mutual_information_lies_between_zero_and_log_c(
    shape: tuple[int, int, int], seed: int, scale: float
) -> None:
    information = classified(scale * raw_outputs(*shape, seed=seed)).mutual_information
    assert information.min() >= 0
    assert information.max() <= math.log(shape[2]) + FLOAT32["atol"]


def test_samples_that_are_sure_of_different_classes_are_all_epistemic() -> None:
    raw = 1e3 * torch.eye(2).unsqueeze(1)
    pred = classified(raw)
    assert pred.mean.tolist() == [[0.5, 0.5]]
    assert pred.predictive_entropy.item() == pytest.approx(math.log(2))
    assert pred.expected_entropy.item() == 0
    assert pred.label.tolist() == [0]


def test_equal_samples_are_all_aleatoric() -> None:
    pred = classified(torch.zeros(20, 3, 4))
    assert pred.mutual_information.tolist() == [0, 0, 0]
    assert pred.std.unique().tolist() == [0]
    assert pred.notes == ("zero_variance",)


def test_a_row_that_moves_takes_the_note_away() -> None:
    assert classified(raw_outputs(20, 3, 4)).notes == ()


def test_a_spread_too_small_for_the_dtype_is_noted_as_none() -> None:
    pred = classified(raw_outputs(20, 3, 2) + torch.tensor([0.0, -200]))
    assert pred.std.unique().tolist() == [0]
    assert pred.notes == ("zero_variance",)


@pytest.mark.parametrize(("class_axis", "order"), [(1, (0, 1, 2, 3)), (-1, (0, 1, 3, 2)), (2, (0, 1, 3, 2))])
def test_the_class_axis_moves_with_the_numbers(class_axis: int, order: tuple[int, ...]) -> None:
    raw = raw_outputs(20, 2, 3, 5)
    expected = classified(raw)
    pred = classified(raw.permute(order), class_axis=class_axis)
    moved = tuple(axis - 1 for axis in order[1:])
    torch.testing.assert_close(pred.mean, expected.mean.permute(moved), **FLOAT32)
    torch.testing.assert_close(pred.mutual_information, expected.mutual_information, **FLOAT32)
    assert pred.mutual_information.shape == (2, 5)
    torch.testing.assert_close(pred.label, expected.label, **EXACT)


@pytest.mark.parametrize("output", ["probabilities", "log_probabilities"])
def test_what_the_model_returns_can_be_said(output: str) -> None:
    raw = raw_outputs(20, 3, 4)
    told = raw.softmax(2) if output == "probabilities" else raw.log_softmax(2)
    torch.testing.assert_close(classified(told, output=output).mean, classified(raw).mean, **FLOAT32)


def test_a_model_that_ends_in_a_softmax_is_refused() -> None:
    with pytest.raises(DomainError, match="so the model ends in a softmax; say output='probabilities'"):
        classified(raw_outputs(20, 3, 4).softmax(2))


def test_logits_that_lie_as_probabilities_do_by_chance_are_not_refused() -> None:
    row = torch.tensor([[0.4, 0.6]])
    pred = mcdrop.MCDropout(nn.Dropout(0.5).eval(), task="classification").predict(row)
    torch.testing.assert_close(pred.deterministic, row.softmax(1), **FLOAT32)
    near = torch.tensor([0.4, 0.602]).expand(20, 1, 2)
    torch.testing.assert_close(classified(near).mean, near[0].softmax(1), **FLOAT32)


@pytest.mark.parametrize("classes", [3, 9])
def test_probabilities_in_bfloat16_sum_to_1_as_well_as_they_can(classes: int) -> None:
    told = raw_outputs(16, 60, classes).softmax(2).bfloat16()
    pred = classified(told, output="probabilities")
    assert pred.mean.dtype == torch.bfloat16
    assert evaluate(pred, torch.zeros(60, dtype=torch.int64)).n_rows == 60
    with pytest.raises(DomainError, match="so the model ends in a softmax"):
        classified(told)


@pytest.mark.parametrize("classes", [2, 10, 700, 5000])
@pytest.mark.parametrize("scale", [0.1, 1, 5])
@pytest.mark.parametrize("widened", [False, True])
def test_log_probabilities_in_bfloat16_become_laws_that_sum_to_1(
    classes: int, scale: float, widened: bool
) -> None:
    raw = scale * raw_outputs(16, 20, classes)
    told = raw.bfloat16().log_softmax(2)
    pred = classified(told.float() if widened else told, output="log_probabilities")
    atol = 1e-6 if widened else SUM_TOLERANCE
    torch.testing.assert_close(pred.mean.double().sum(1), torch.ones(20).double(), rtol=0, atol=atol)
    torch.testing.assert_close(pred.mean.float(), classified(raw).mean, rtol=0.05, atol=0.02)


@pytest.mark.parametrize("output", ["probabilities", "log_probabilities"])
def test_logits_called_otherwise_are_refused(output: str) -> None:
    with pytest.raises(DomainError, match=f"output='{output}' must sum to 1 over the classes, got a row"):
        classified(raw_outputs(20, 3, 4), output=output)


def test_negative_probabilities_are_refused() -> None:
    with pytest.raises(DomainError, match=r"must lie in \[0, 1\], got values from -1 to 2; a model that"):
        classified(torch.tensor([[[2.0, -1.0]]] * 2), output="probabilities")


def test_one_number_for_each_row_is_no_classification() -> None:
    with pytest.raises(
        ShapeError, match=r"outputs must be \(N, C, ...\) for classification, got shape \(3,\)"
    ):
        classified(raw_outputs(20, 3))


def test_one_class_is_no_classification() -> None:
    with pytest.raises(ShapeError, match=r"two classes or more, got shape \(3, 1\); .* task='binary'"):
        classified(raw_outputs(20, 3, 1))


@pytest.mark.parametrize("class_axis", [2, -2, 5, -7])
def test_a_class_axis_that_is_not_there_is_refused(class_axis: int) -> None:
    with pytest.raises(ShapeError, match=rf"class_axis={class_axis} must be an axis behind the rows"):
        classified(raw_outputs(20, 3, 4), class_axis=class_axis)


def test_nan_stays_in_its_row() -> None:
    raw = raw_outputs(20, 3, 4)
    raw[5, 1, 2] = torch.nan
    pred = classified(raw)
    for values in (pred.mean, pred.std, pred.standard_error):
        assert values.isnan().all(1).tolist() == [False, True, False]
    assert pred.mutual_information.isnan().tolist() == [False, True, False]
    assert pred.predictive_entropy.isnan().tolist() == [False, True, False]


def test_the_outputs_are_the_public_names() -> None:
    pred: Predictive = classified(raw_outputs(20, 3, 4))
    assert pred.default_outputs == ("label", "mean", "std", "predictive_entropy", "mutual_information")
    assert set(pred.default_outputs) <= set(pred.available_outputs())
    assert pred.numpy().keys() == set(pred.available_outputs())
