"""Predictions of other tools, from arrays."""

import numpy as np
import pytest
import torch

from mcdrop.calibrating import calibrate
from mcdrop.calibration.temperature import fit_temperature
from mcdrop.errors import DomainError, InputError, OptionError, SamplesNotKeptError, ShapeError
from mcdrop.evaluation import evaluate
from mcdrop.metrics.crps import crps_gaussian
from mcdrop.metrics.regression import gaussian_negative_log_likelihood
from mcdrop.rowscores import GaussianMixture
from mcdrop.tabulated import TabulatedClasses, as_predictions, tabulated
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


def test_they_tell_themselves_in_a_line() -> None:
    assert repr(as_predictions(samples=SAMPLES)) == "classification of 40 rows, mean (40, 3), 20 samples"
    numbers = as_predictions(mean=np.zeros(9), std=np.ones(9))
    assert repr(numbers) == "regression of 9 rows, mean (9,), no samples"
    assert repr(evaluate(numbers, np.zeros(9))).startswith("regression: n = 9 rows, no samples\n")


def test_a_deep_ensemble_is_wrapped_scored_calibrated_and_scored_again() -> None:
    members = (3 * normal(5, 400, 3)).softmax(-1)
    y = torch.multinomial(members.mean(0), 1, generator=torch.Generator().manual_seed(0)).squeeze(1)
    before = as_predictions(samples=members[:, 200:].numpy(), deterministic=members[0, 200:].numpy())
    temperature = fit_temperature(members[:, :200].numpy(), y[:200].numpy())
    after = as_predictions(samples=temperature.apply(members[:, 200:]))
    report = evaluate(after, y[200:].numpy(), before=before)
    assert (report.task, report.n_samples) == ("classification", 5)
    assert {each.name for each in report.against_before} >= {"nll", "brier"}


def test_samples_of_which_some_do_not_sum_to_one_are_told_of_and_not_taken_for_numbers() -> None:
    wrong = SAMPLES.copy()
    wrong[0, 3, 0] += 0.1
    with pytest.raises(DomainError, match=r"samples must sum to 1 .* \(off by \+0.1\) at index \(0, 3\)"):
        as_predictions(samples=wrong)


def test_logits_are_told_from_numbers_when_classes_are_given() -> None:
    with pytest.raises(ShapeError, match="if they are classes, give probabilities that sum to 1, not logits"):
        evaluate(as_predictions(samples=normal(5, 40, 3)), Y)


def test_calibrate_sends_arrays_of_other_tools_to_the_functions_that_take_them() -> None:
    with pytest.raises(InputError, match=r"by the functions fit_\.\.\. of mcdrop\.calibration"):
        calibrate(as_predictions(samples=SAMPLES), Y, "temperature")  # type: ignore[arg-type]


def test_bare_arrays_are_told_how_to_be_wrapped() -> None:
    for given in (LAWS, torch.from_numpy(LAWS), LAWS.tolist(), None):
        with pytest.raises(InputError, match=r"wrapped by mcdrop\.as_predictions\(samples=\.\.\.\)"):
            evaluate(given, Y)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="got ndarray, which has no task, n_samples, seed, deterministic"):
        evaluate(LAWS)
    with pytest.raises(InputError, match="got ndarray"):
        evaluate(as_predictions(probabilities=LAWS), Y, before=LAWS)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="batches must be pairs of a prediction and its outcomes, got list"):
        evaluate(LAWS.tolist())
    with pytest.raises(InputError, match="takes a prediction"):
        evaluate([(LAWS, Y)])  # type: ignore[list-item]


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
    with pytest.raises(OptionError, match="need samples, mean and std, or probabilities, got mean"):
        tabulated({"mean": LAWS})
    with pytest.raises(OptionError, match="got none of them"):
        tabulated({"logits": LAWS})
    with pytest.raises(OptionError, match=r"must be of task classification, .*, got 'raw'"):
        tabulated({"probabilities": LAWS}, task="raw")
    with pytest.raises(OptionError, match="a binary needs an array named probabilities or samples"):
        tabulated({"std": LAWS}, task="binary")


@pytest.mark.parametrize("first", ["samples", "probabilities"])
def test_noise_of_members_is_not_dropped_in_silence(first: str) -> None:
    with pytest.raises(OptionError, match=rf"got {first}, std; give one .* \(stds\*\*2\)\.mean\(0\)\)"):
        as_predictions(std=SAMPLES, **{first: SAMPLES})  # type: ignore[arg-type]


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
