"""Scores of class probabilities, with scikit-learn and torchmetrics as second opinions."""

import math

import pytest
import torch
from hypothesis import given
from sklearn.metrics import accuracy_score, brier_score_loss, log_loss
from torch import Tensor

from mcdrop.errors import DomainError, ShapeError
from mcdrop.metrics import classification as scores
from tests.support.predictions import class_samples, labelled_confidences, normal, permutation, uniform
from tests.support.tolerances import FLOAT64

LAWS = torch.tensor([[0.7, 0.2, 0.1], [0.0, 1.0, 0.0]], dtype=torch.float64)


def test_closed_forms() -> None:
    assert scores.correct(LAWS, [0, 2]).tolist() == [1.0, 0.0]
    assert scores.accuracy(LAWS, [0, 2]).item() == 0.5
    torch.testing.assert_close(
        scores.brier_score(LAWS, [0, 2]).tolist(), [0.09 + 0.04 + 0.01, 2.0], **FLOAT64
    )
    nll = scores.negative_log_likelihood(LAWS, [0, 2])
    assert nll.tolist() == [pytest.approx(-math.log(0.7)), math.inf]


def test_scikit_learn_agrees() -> None:
    probs, y = (2 * normal(200, 5)).softmax(-1), permutation(200) % 5
    assert scores.accuracy(probs, y).item() == pytest.approx(accuracy_score(y, probs.argmax(1)))
    nll = scores.negative_log_likelihood(probs, y).mean().item()
    assert nll == pytest.approx(log_loss(y, probs.numpy()))
    brier = scores.brier_score(probs, y).mean().item()
    assert brier == pytest.approx(brier_score_loss(y, probs.numpy(), scale_by_half=False))


def test_scikit_learn_agrees_on_events() -> None:
    p, y = uniform(200), (uniform(200, seed=1) > 0.5).double()
    assert scores.binary_brier_score(p, y).mean().item() == pytest.approx(brier_score_loss(y, p))
    assert scores.binary_negative_log_likelihood(p, y).mean().item() == pytest.approx(log_loss(y, p))
    assert scores.binary_correct(p, y).mean().item() == pytest.approx(accuracy_score(y, p > 0.5))


@given(class_samples())
def test_scores_stay_in_their_ranges(samples: Tensor) -> None:
    law = samples.mean(0)
    y = torch.arange(len(law)) % law.shape[-1]
    brier = scores.brier_score(law, y)
    assert bool(((brier >= 0) & (brier <= 2 + 1e-12)).all())
    assert bool((scores.negative_log_likelihood(law, y) >= 0).all())


@given(labelled_confidences())
def test_an_event_is_a_law_over_two_classes(pairs: tuple[Tensor, Tensor]) -> None:
    p, y = pairs
    law = torch.stack([1 - p, p], -1)
    half = scores.brier_score(law, y) / 2
    torch.testing.assert_close(scores.binary_brier_score(p, y), half, **FLOAT64)
    nll = scores.negative_log_likelihood(law, y)
    torch.testing.assert_close(scores.binary_negative_log_likelihood(p, y), nll, **FLOAT64)
    assert torch.equal(scores.binary_correct(p, y), scores.correct(law, y))


def test_one_row_and_one_class() -> None:
    single = torch.ones(1, 1)
    assert scores.accuracy(single, [0]).item() == 1
    assert scores.negative_log_likelihood(single, [0]).item() == 0
    assert scores.brier_score(single, [0]).item() == 0


def test_of_equal_classes_the_first_is_predicted_and_half_is_no_event() -> None:
    assert scores.correct([[0.5, 0.5]], [0]).item() == 1
    assert scores.binary_correct([0.5], [0]).item() == 1


def test_classes_on_another_axis_give_the_same() -> None:
    probs = normal(4, 3, 5).softmax(1)  # (N, C, T)
    y = permutation(20).reshape(4, 5) % 3
    moved = scores.brier_score(probs.movedim(1, -1), y)
    assert moved.shape == (4, 5)
    assert torch.equal(scores.brier_score(probs, y, class_axis=1), moved)


def test_the_multilabel_brier_score_is_the_mean_over_the_labels() -> None:
    value = scores.multilabel_brier_score([[0.5, 1.0]], [[1, 1]])
    assert value.tolist() == [0.125]


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"probs must be \(N, ..., C\), got shape \(3,\)"):
        scores.accuracy([0.2, 0.3, 0.5], [0])
    with pytest.raises(ShapeError, match=r"y must have shape \(2,\), got shape \(3,\)"):
        scores.accuracy(LAWS, [0, 1, 2])
    with pytest.raises(DomainError, match="y must be a class from 0 to 2, got 3"):
        scores.brier_score(LAWS, [0, 3])
    with pytest.raises(DomainError, match="y must be 0 or 1, got 2"):
        scores.binary_brier_score([0.5], [2])
    with pytest.raises(DomainError, match="probs must not hold NaN"):
        scores.accuracy([[math.nan, 1.0]], [0])
