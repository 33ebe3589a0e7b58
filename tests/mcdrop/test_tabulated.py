"""Predictions of other tools, from arrays."""

import numpy as np
import pytest
import torch

from mcdrop.errors import DataFileError, DomainError, SamplesNotKeptError, ShapeError
from mcdrop.evaluation import evaluate
from mcdrop.metrics.crps import crps_gaussian
from mcdrop.metrics.regression import gaussian_negative_log_likelihood
from mcdrop.rowscores import GaussianMixture
from mcdrop.tabulated import TabulatedClasses, tabulated
from tests.support.predictions import normal, permutation, uniform
from tests.support.tolerances import FLOAT64

LAWS = normal(40, 3).softmax(-1).numpy()
SAMPLES = normal(20, 40, 3).softmax(-1).numpy()
Y = (permutation(40) % 3).numpy()


def test_probabilities_are_a_classification_or_binary() -> None:
    assert tabulated({"probabilities": LAWS}).task == "classification"
    assert tabulated({"probabilities": LAWS[:, 0]}).task == "binary"
    assert tabulated({"probabilities": LAWS}, task="multilabel").task == "multilabel"


def test_samples_are_laws_or_numbers() -> None:
    laws = tabulated({"samples": SAMPLES})
    assert laws.task == "classification"
    np.testing.assert_allclose(laws.mean.numpy(), SAMPLES.mean(0))
    numbers = tabulated({"samples": normal(20, 40).numpy()})
    assert (numbers.task, numbers.n_samples) == ("regression", 20)


def test_gaussian_predictions_are_scored_in_closed_form() -> None:
    mean, std, y = normal(60), 0.5 + uniform(60), normal(60, seed=1)
    report = evaluate(tabulated({"mean": mean.numpy(), "std": std.numpy()}), y)
    assert report.n_samples == 0
    nll = gaussian_negative_log_likelihood(mean, std, y).mean().item()
    assert report.score("nll").value == pytest.approx(nll)
    assert report.score("crps").value == pytest.approx(crps_gaussian(mean, std, y).mean().item())
    inside = ((y - mean).abs() <= 1.6448536 * std).double().mean().item()
    assert report.score("coverage").value == pytest.approx(inside)
    assert [part.name for part in report.uncertainty] == ["total"]


def test_intervals_of_samples_are_their_order_statistics() -> None:
    samples = normal(41, 30)
    lower, upper = GaussianMixture(samples, None).interval(0.9)
    np.testing.assert_allclose(lower.numpy(), np.quantile(samples.numpy(), 0.05, axis=0), **FLOAT64)
    np.testing.assert_allclose(upper.numpy(), np.quantile(samples.numpy(), 0.95, axis=0), **FLOAT64)


def test_samples_of_laws_split_the_uncertainty() -> None:
    report = evaluate(tabulated({"samples": SAMPLES}), Y)
    parts = {part.name: part.mean for part in report.uncertainty}
    assert parts["total"] == pytest.approx(parts["aleatoric"] + parts["epistemic"])
    assert {point.n_samples for point in report.samples} == {2, 4, 8, 16, 20}


def test_one_pass_may_stand_beside_them() -> None:
    report = evaluate(tabulated({"probabilities": LAWS, "deterministic": LAWS[::-1].copy()}), Y)
    assert report.deterministic
    report = evaluate(tabulated({"samples": normal(8, 40).numpy(), "deterministic": LAWS[:, 0]}), normal(40))
    assert [score.name for score in report.deterministic] == ["rmse", "mae"]


def test_probabilities_without_samples_have_none() -> None:
    pred = tabulated({"probabilities": LAWS})
    assert isinstance(pred, TabulatedClasses)
    with pytest.raises(SamplesNotKeptError, match="came without samples"):
        _ = pred.samples


def test_what_makes_no_prediction_is_refused() -> None:
    with pytest.raises(DataFileError, match="need samples, mean and std, or probabilities, got mean"):
        tabulated({"mean": LAWS})
    with pytest.raises(DataFileError, match="got none of them"):
        tabulated({"logits": LAWS})
    with pytest.raises(DataFileError, match=r"must be of task classification, .*, got 'raw'"):
        tabulated({"probabilities": LAWS}, task="raw")
    with pytest.raises(DataFileError, match="a binary needs an array named probabilities or samples"):
        tabulated({"std": LAWS}, task="binary")


def test_values_out_of_range_are_refused() -> None:
    with pytest.raises(DomainError, match=r"must sum to 1 over the classes, got 0\.5"):
        tabulated({"probabilities": LAWS / 2})
    with pytest.raises(DomainError, match="std must not be negative"):
        tabulated({"mean": LAWS, "std": -LAWS})
    with pytest.raises(ShapeError, match="std must have shape"):
        tabulated({"mean": LAWS, "std": LAWS[:, 0]})
    with pytest.raises(ShapeError, match="deterministic must have shape"):
        tabulated({"probabilities": LAWS, "deterministic": LAWS[:, :2]})
    with pytest.raises(DomainError, match="must not hold NaN"):
        tabulated({"samples": np.full((2, 3), np.nan)})


def test_multilabel_samples_keep_their_shape() -> None:
    pred = tabulated({"samples": uniform(5, 6, 2).numpy()}, task="multilabel")
    assert pred.mean.shape == torch.Size([6, 2])
