"""Yes or no, once or for several labels, against brute force over the samples."""

import math

import numpy as np
import pytest
import scipy.special
import scipy.stats
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop import calibrate, evaluate
from mcdrop.errors import DomainError, ShapeError
from mcdrop.predictive import BinaryPredictive, MultilabelPredictive, Task, task_named
from tests.support.predictions import permutation
from tests.support.predictives import predictive_of, raw_outputs
from tests.support.tolerances import EXACT, FLOAT32


def answered(raw: Tensor, task: str | Task = "binary") -> BinaryPredictive | MultilabelPredictive:
    found = predictive_of(raw, task)
    assert isinstance(found, BinaryPredictive | MultilabelPredictive)
    return found


@pytest.mark.parametrize(("task", "shape"), [("binary", (4,)), ("multilabel", (4, 3))])
@given(samples=st.integers(2, 40), seed=st.integers(0, 100), scale=st.floats(0, 30))
def test_every_number_agrees_with_brute_force(
    task: str, shape: tuple[int, ...], samples: int, seed: int, scale: float
) -> None:
    raw = scale * raw_outputs(samples, *shape, seed=seed)
    probs = scipy.special.expit(raw.double().numpy())
    laws = np.stack([probs, 1 - probs])
    total, aleatoric = scipy.stats.entropy(laws.mean(1)), scipy.stats.entropy(laws).mean(0)
    pred = answered(raw, task)
    np.testing.assert_allclose(pred.samples, probs, **FLOAT32)
    np.testing.assert_allclose(pred.mean, probs.mean(0), **FLOAT32)
    np.testing.assert_allclose(pred.std, probs.std(0, ddof=1), **FLOAT32)
    np.testing.assert_allclose(pred.predictive_entropy, total, **FLOAT32)
    np.testing.assert_allclose(pred.expected_entropy, aleatoric, **FLOAT32)
    np.testing.assert_allclose(pred.mutual_information, total - aleatoric, **FLOAT32)
    assert pred.mutual_information.min() >= 0
    assert pred.mutual_information.max() <= math.log(2) + FLOAT32["atol"]
    assert pred.label.tolist() == (pred.mean > 0.5).long().tolist()


def test_a_mean_of_one_half_is_a_no() -> None:
    assert answered(torch.zeros(4, 2)).label.tolist() == [0, 0]


@pytest.mark.parametrize("shape", [(3, 1), (3, 1, 5)])
def test_the_axis_of_one_is_dropped(shape: tuple[int, ...]) -> None:
    raw = raw_outputs(20, *shape)
    pred = answered(raw)
    assert pred.mean.shape == (3, *shape[2:])
    torch.testing.assert_close(pred.mean, raw.sigmoid().mean(0).squeeze(1), **FLOAT32)


def test_two_logits_are_no_binary_answer() -> None:
    with pytest.raises(ShapeError, match=r"got shape \(3, 2\); a model with one logit for each class wants"):
        answered(raw_outputs(20, 3, 2))


def test_multilabel_needs_an_axis_of_labels() -> None:
    with pytest.raises(ShapeError, match=r"outputs must be \(N, L\) for multilabel, got shape \(3,\)"):
        answered(raw_outputs(20, 3), "multilabel")


@pytest.mark.parametrize("task", ["binary", "multilabel"])
@pytest.mark.parametrize("output", ["probabilities", "log_probabilities"])
def test_what_the_model_returns_can_be_said(task: str, output: str) -> None:
    raw = raw_outputs(20, 3, 1)
    told = raw.sigmoid() if output == "probabilities" else torch.nn.functional.logsigmoid(raw)
    pred = answered(told, task_named(task, output=output))
    torch.testing.assert_close(pred.mean, answered(raw, task).mean, **FLOAT32)


def test_a_probability_that_rounding_puts_above_one_is_certain() -> None:
    pred = answered(torch.full((20, 3), 1 + 1e-6), task_named("binary", output="probabilities"))
    torch.testing.assert_close(pred.mean, torch.ones(3), **EXACT)
    assert pred.predictive_entropy.tolist() == [0, 0, 0]


def test_logits_called_probabilities_are_refused() -> None:
    with pytest.raises(DomainError, match="a model that returns logits wants output='logits'"):
        answered(raw_outputs(20, 3), task_named("binary", output="probabilities"))


def test_outcomes_as_a_column_are_those_without() -> None:
    """A network returns (N, 1) and is trained on such outcomes, while the mean is (N,)."""
    pred, y = predictive_of(raw_outputs(16, 60, 1), "binary"), permutation(60) % 2
    assert evaluate(pred, y.unsqueeze(1)).scores == evaluate(pred, y).scores
    for method in ("platt", "isotonic"):
        one, other = (calibrate(pred, each, method).to_dict() for each in (y, y.unsqueeze(1)))
        assert {**one, "fitted_with": None} == {**other, "fitted_with": None}
