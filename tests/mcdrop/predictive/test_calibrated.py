"""Calibrated tasks: what a prediction says equals what its calibrators say of the plain prediction."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mcdrop.calibrating import METHODS, FewErrorsWarning, calibrate
from mcdrop.calibration.fitted import Calibrator, FittedWith
from mcdrop.calibration.isotonic import BinaryIsotonic, ClassIsotonic
from mcdrop.calibration.noise_precision import NoisePrecision
from mcdrop.calibration.platt import PlattScaling
from mcdrop.calibration.quantile_recalibration import QuantileRecalibration
from mcdrop.calibration.std_scaling import LevelStdScaling, StdScaling
from mcdrop.calibration.temperature import Temperature
from mcdrop.calibration.vector_scaling import VectorScaling
from mcdrop.conformal import AdaptiveSets, ConformalIntervals
from mcdrop.conformal_quantiles import ConformalQuantiles
from mcdrop.errors import CheckpointError, NotFittedError, OptionError, ShapeError
from mcdrop.monotone import MonotoneMap
from mcdrop.predictive import (
    BinaryPredictive,
    ClassificationPredictive,
    Predictive,
    RealPredictive,
    Task,
    load_predictions,
    task_named,
)
from mcdrop.predictive.calibrated import CalibratedTask, check_order, promised_levels, read_calibrators
from mcdrop.selective import SelectiveThreshold
from tests.support.predictives import assert_same_rows, predictive_of, raw_outputs
from tests.support.tolerances import FLOAT32

RECORD = FittedWith(100, "sha256:0", 32, "consistent", 0, "philox-1")
CURVE = MonotoneMap((0.0, 0.5, 1.0), (0.0, 0.2, 1.0))


def of(raw: Tensor, task: Task, *calibrators: Calibrator, axis: int = 1) -> Predictive:
    return predictive_of(raw, CalibratedTask(task, calibrators, axis))


def classes(
    *calibrators: Calibrator, axis: int = 1, shape: tuple[int, ...] = (32, 6, 4)
) -> ClassificationPredictive:
    task = task_named("classification", class_axis=axis)
    found = of(2 * raw_outputs(*shape), task, *calibrators, axis=axis)
    assert isinstance(found, ClassificationPredictive)
    return found


def events(*calibrators: Calibrator) -> BinaryPredictive:
    found = of(2 * raw_outputs(32, 6), task_named("binary"), *calibrators)
    assert isinstance(found, BinaryPredictive)
    return found


LAWS = {
    "samples": lambda: (raw_outputs(32, 6, 2), task_named("regression")),
    "tau": lambda: (raw_outputs(32, 6, 2), task_named("regression", tau=0.5)),
    "heteroscedastic": lambda: (raw_outputs(32, 6, 2, 2), task_named("heteroscedastic")),
}
EVERY_LAW = pytest.mark.parametrize("law", LAWS)


def numbers(*calibrators: Calibrator, law: str = "tau") -> RealPredictive:
    found = of(*LAWS[law](), *calibrators)
    assert isinstance(found, RealPredictive)
    return found


def test_without_calibrators_nothing_changes() -> None:
    plain = predictive_of(2 * raw_outputs(32, 6, 4), "classification")
    assert_same_rows(classes(), plain)


@pytest.mark.parametrize(("axis", "shape"), [(1, (32, 6, 4)), (1, (32, 6, 4, 3)), (-1, (32, 6, 3, 4))])
@pytest.mark.parametrize(
    "calibrator", [Temperature(RECORD, 2.5), VectorScaling(RECORD, (0.5, 1, 2, 1), (1, 0, 0, -1))]
)
def test_laws_are_corrected_inside_the_average(
    axis: int, shape: tuple[int, ...], calibrator: Temperature | VectorScaling
) -> None:
    plain, found = classes(axis=axis, shape=shape), classes(calibrator, axis=axis, shape=shape)
    last = plain.samples.movedim(axis + 1 if axis > 0 else axis, -1)
    expected = calibrator.apply(last)
    torch.testing.assert_close(found.mean.movedim(axis, -1).double(), expected.mean(0), **FLOAT32)
    torch.testing.assert_close(found.std.movedim(axis, -1).double(), expected.std(0), **FLOAT32)
    gap = found.predictive_entropy - found.expected_entropy - found.mutual_information
    assert gap.abs().max() < 1e-5


def test_platt_corrects_the_samples_of_an_event() -> None:
    calibrator = PlattScaling(RECORD, 0.5, 1.0)
    expected = calibrator.apply(events().samples)
    torch.testing.assert_close(events(calibrator).mean.double(), expected.mean(0), **FLOAT32)


def test_an_isotonic_map_corrects_the_mean_and_leaves_the_mutual_information() -> None:
    plain, found = events(), events(BinaryIsotonic(RECORD, CURVE))
    torch.testing.assert_close(found.mean.double(), CURVE(plain.mean.double()), **FLOAT32)
    torch.testing.assert_close(found.deterministic.double(), CURVE(plain.deterministic.double()), **FLOAT32)
    assert bool((found.mutual_information <= plain.mutual_information + 1e-6).all())
    gap = found.predictive_entropy - found.expected_entropy - found.mutual_information
    assert gap.abs().max() < 1e-5


def test_isotonic_maps_of_classes_find_their_axis() -> None:
    calibrator = ClassIsotonic(RECORD, (CURVE,) * 4)
    plain, found = (classes(*each, shape=(32, 6, 4, 3)) for each in ((), (calibrator,)))
    expected = calibrator.apply(plain.mean.movedim(1, -1)).movedim(-1, 1)
    torch.testing.assert_close(found.mean.double(), expected, **FLOAT32)


@EVERY_LAW
@pytest.mark.parametrize("calibrator", [StdScaling(RECORD, 1.5), LevelStdScaling(RECORD, (1.7,), (0.5, 2.0))])
def test_factors_stretch_the_law_about_its_mean(law: str, calibrator: StdScaling | LevelStdScaling) -> None:
    plain, found = numbers(law=law), numbers(calibrator, law=law)
    torch.testing.assert_close(found.mean, plain.mean)
    torch.testing.assert_close(found.std.double(), calibrator.apply(plain.std), **FLOAT32)
    factor = found.std / plain.std
    torch.testing.assert_close(found.epistemic_std, plain.epistemic_std * factor, **FLOAT32)
    torch.testing.assert_close(found.samples - plain.mean, (plain.samples - plain.mean) * factor, **FLOAT32)
    for end, before in zip(found.interval(0.8), plain.interval(0.8), strict=True):
        torch.testing.assert_close(end - plain.mean, (before - plain.mean) * factor, rtol=1e-4, atol=1e-4)
    if law != "samples":
        torch.testing.assert_close(found.aleatoric_std, plain.aleatoric_std * factor, **FLOAT32)
        noise = torch.as_tensor(plain.noise_std) * factor
        torch.testing.assert_close(torch.as_tensor(found.noise_std), noise, check_dtype=False, **FLOAT32)


@EVERY_LAW
def test_recalibrated_quantiles_are_those_at_other_levels(law: str) -> None:
    calibrator = QuantileRecalibration(RECORD, (0.0, 0.3, 1.0), (0.0, 0.5, 1.0))
    torch.testing.assert_close(numbers(calibrator, law=law).quantile(0.5), numbers(law=law).quantile(0.3))
    steep = QuantileRecalibration(RECORD, (0.0, 0.0, 1.0), (0.0, 0.9, 1.0))  # asks for the quantile at 0
    assert bool(numbers(steep, law=law).quantile(0.5).isfinite().all())


@EVERY_LAW
def test_promised_intervals_are_outputs_and_the_interval_of_their_level(law: str) -> None:
    plain, found = numbers(law=law), numbers(ConformalIntervals(RECORD, 0.9, 2.0), law=law)
    torch.testing.assert_close(found.lower, plain.mean - 2 * plain.std)
    torch.testing.assert_close(found.upper, plain.mean + 2 * plain.std)
    torch.testing.assert_close(found.interval(0.9)[0], found.lower)
    torch.testing.assert_close(found.interval(0.8)[0], plain.interval(0.8)[0])
    assert found.available_outputs()[-2:] == ("lower", "upper")
    assert found.numpy()["upper"].shape == (6, 2)


@EVERY_LAW
def test_promised_quantiles_are_moved_by_the_bound(law: str) -> None:
    calibrator = ConformalQuantiles(RECORD, 0.8, 0.25)
    torch.testing.assert_close(numbers(calibrator, law=law).lower, numbers(law=law).quantile(0.1) - 0.25)
    assert promised_levels([calibrator], (0.5, 0.1)) == pytest.approx((0.5, 0.1, 0.9))


def test_sets_and_answers_are_outputs() -> None:
    sets, threshold = AdaptiveSets(RECORD, 0.9, 0.6, False, 0), SelectiveThreshold(RECORD, 0.1, 0.9, 0.9, 0.5)
    found = classes(sets, threshold)
    assert found.available_outputs()[-2:] == ("answered", "prediction_set")
    assert torch.equal(found.prediction_set, sets.apply(found.mean))
    assert torch.equal(found.answered, found.total_entropy < 0.9)


def test_what_was_not_promised_is_refused_with_the_method_that_would() -> None:
    with pytest.raises(NotFittedError, match="fit one on held-out rows with mcdrop calibrate --method sets"):
        _ = classes().prediction_set
    with pytest.raises(NotFittedError, match="mcdrop calibrate --method selective"):
        _ = classes().answered
    with pytest.raises(NotFittedError, match="mcdrop calibrate --method conformal"):
        _ = numbers().lower


def test_other_settings_make_the_calibration_void_and_say_so() -> None:
    assert classes(Temperature(RECORD, 2.0)).notes == ()
    other = replace(RECORD, n_samples=100, seed=3)
    found = classes(Temperature(other, 2.0), Temperature(other, 2.0))
    assert found.notes == ("calibration is void: n_samples is 32, fitted with 100; seed is 0, fitted with 3",)


@EVERY_LAW
def test_a_calibrated_prediction_is_saved_with_its_calibrators(tmp_path: Path, law: str) -> None:
    found = numbers(StdScaling(RECORD, 1.5), ConformalIntervals(RECORD, 0.9, float("inf")), law=law)
    found.save(tmp_path / "pred.npz")
    loaded = load_predictions(tmp_path / "pred.npz")
    assert_same_rows(loaded, found)
    assert loaded.calibrators == found.calibrators
    assert_same_rows(Predictive.concatenate([found[:2], found[2:]]), found)


@pytest.mark.parametrize(
    "data",
    [{"kind": "magic"}, {"kind": "temperature"}, {"kind": "temperature", "fitted_with": 3, "temperature": 1}],
)
def test_calibrators_that_cannot_be_read_are_a_damaged_checkpoint(data: dict[str, object]) -> None:
    with pytest.raises(CheckpointError, match="calibrators cannot be read"):
        read_calibrators([data])


PLAIN = {
    "classification": lambda: predictive_of(2 * raw_outputs(16, 200, 3), "classification"),
    "binary": lambda: predictive_of(2 * raw_outputs(16, 200), "binary"),
    "multilabel": lambda: predictive_of(2 * raw_outputs(16, 200, 3), "multilabel"),
    "regression": lambda: predictive_of(raw_outputs(16, 200, 1), task_named("regression", tau=0.5)),
    "heteroscedastic": lambda: predictive_of(raw_outputs(16, 200, 1, 2), "heteroscedastic"),
}
OUTCOMES = {
    "classification": torch.arange(200) % 3,
    "binary": torch.arange(200) % 2,
    "multilabel": torch.arange(600).reshape(200, 3) % 2,
    "regression": raw_outputs(200, seed=5),
    "heteroscedastic": raw_outputs(200, seed=5),
}


@pytest.mark.parametrize(
    ("method", "task"), [(name, task) for name, each in METHODS.items() for task in sorted(each.tasks)]
)
def test_every_method_fits_and_records_how_the_prediction_was_sampled(method: str, task: str) -> None:
    found = calibrate(PLAIN[task](), OUTCOMES[task], method)
    record = found.fitted_with
    assert (record.n_rows, record.n_samples, record.seed) in {(200, 16, 0), (600, 16, 0)}
    assert record.data_digest.startswith("sha256:")
    named = calibrate(PLAIN[task](), OUTCOMES[task], method, digest="sha256:1")
    assert named.fitted_with.data_digest == "sha256:1"


@pytest.mark.parametrize("method", ["temperature", "isotonic"])
def test_what_is_fitted_to_rows_of_which_hardly_any_is_wrong_warns(method: str) -> None:
    pred = classes(shape=(32, 60, 4))
    y = pred.label.clone()
    y[:9] = (y[:9] + 1) % 4
    with pytest.warns(FewErrorsWarning, match=f"{method} rests on the rows that are wrong, and 9 of 60 are"):
        calibrate(pred, y, method)
    y[9] = (y[9] + 1) % 4
    calibrate(pred, y, method)  # a warning would be an error


@pytest.mark.parametrize("method", ["temperature", "isotonic", "sets", "selective"])
def test_labels_in_a_column_are_the_same_labels_and_rows_with_a_one_are_none(method: str) -> None:
    pred, y = PLAIN["classification"](), OUTCOMES["classification"]
    assert calibrate(pred, y[:, None], method, risk=0.9, digest="sha256:1") == calibrate(
        pred, y, method, risk=0.9, digest="sha256:1"
    )
    ones = torch.nn.functional.one_hot(y, pred.mean.shape[1])
    with pytest.raises(ShapeError, match=r"take y\.argmax\(1\)"):
        calibrate(pred, ones, method, risk=0.9)


def test_a_method_for_another_task_is_refused() -> None:
    with pytest.raises(OptionError, match="the task binary are platt, isotonic, selective; got 'tau'"):
        calibrate(PLAIN["binary"](), OUTCOMES["binary"], "tau")
    pixels = predictive_of(raw_outputs(16, 60, 3, 2), "classification")
    for method, what in (("selective", "selective prediction is"), ("sets", "prediction sets are")):
        with pytest.raises(ShapeError, match=rf"{what} for rows of one label, got labels \(60, 2\)"):
            calibrate(pixels, torch.zeros(60, 2), method)


def test_noise_that_the_network_tells_is_scaled_by_the_error_that_is_left() -> None:
    pred, y = PLAIN["heteroscedastic"](), OUTCOMES["heteroscedastic"]
    found = calibrate(pred, y, "std")
    assert isinstance(found, StdScaling)
    score = (y.double() - pred.mean[:, 0]) / pred.std[:, 0]
    assert found.factor == pytest.approx(score.square().mean().sqrt().item(), rel=1e-5)


def test_tau_comes_before_factors() -> None:
    with pytest.raises(OptionError, match="fit tau before std or std-levels"):
        calibrate(numbers(StdScaling(RECORD, 2.0)), torch.zeros(6, 2), "tau")


SETS = AdaptiveSets(RECORD, 0.9, 0.8, randomized=False, seed=0)
INTERVALS = ConformalIntervals(RECORD, 0.9, 1.5)
MAP = QuantileRecalibration(RECORD, (0.5,), (0.6,))


@pytest.mark.parametrize(
    "wrong",
    [
        (SETS, Temperature(RECORD, 2.0)),
        (ClassIsotonic(RECORD, (CURVE,) * 4), Temperature(RECORD, 2.0)),
        (SelectiveThreshold(RECORD, 0.1, 0.9, 0.5, 0.8), PlattScaling(RECORD, 0.5, 1.0)),
        (INTERVALS, NoisePrecision(RECORD, 2.0)),
        (INTERVALS, StdScaling(RECORD, 2.0)),
        (MAP, StdScaling(RECORD, 2.0)),
    ],
    ids=lambda pair: " then ".join(each.kind for each in pair),
)
def test_what_an_earlier_calibrator_was_fitted_on_is_not_changed_behind_it(
    wrong: tuple[Calibrator, Calibrator],
) -> None:
    earlier, later = wrong
    with pytest.raises(OptionError, match=f"{later.kind} changes what {earlier.kind} was fitted on: fit"):
        check_order(wrong)
    check_order((later, earlier, earlier))


def test_a_calibrator_stands_behind_those_that_corrected_what_it_was_fitted_on() -> None:
    y = torch.arange(200) % 4
    temperature = calibrate(classes(shape=(32, 200, 4)), y, "temperature")
    of_the_plain = calibrate(classes(shape=(32, 200, 4)), y, "sets")
    of_the_corrected = calibrate(classes(temperature, shape=(32, 200, 4)), y, "sets")
    wanted = "adaptive_sets was fitted on predictions that {} corrected, and stands behind {}: fit it"
    with pytest.raises(OptionError, match=wanted.format("nothing", "temperature")):
        check_order((temperature, of_the_plain))
    with pytest.raises(OptionError, match=wanted.format("temperature", "nothing")):
        check_order((of_the_corrected,))
    stored = read_calibrators(json.loads(json.dumps([temperature.to_dict(), of_the_corrected.to_dict()])))
    assert stored == (temperature, of_the_corrected)
    check_order((*stored, of_the_corrected))
