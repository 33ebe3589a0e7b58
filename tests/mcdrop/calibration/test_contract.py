"""What every calibrator must do: keep its record, go through JSON and back, be void under other settings."""

import json
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch

from mcdrop.calibration.fitted import Calibrator, FittedWith, SamplingSettings, data_digest
from mcdrop.calibration.noise_precision import fit_noise_precision
from mcdrop.calibration.stored import CALIBRATORS, calibrator_from_dict
from mcdrop.errors import OptionError
from tests.mcdrop.calibration.calibrators import SETTINGS, Y, fitted_calibrators
from tests.support.predictions import normal

FITTED = fitted_calibrators()
each_kind = pytest.mark.parametrize("calibrator", FITTED.values(), ids=FITTED.keys())


def test_every_kind_is_tested() -> None:
    assert {each.kind for each in FITTED.values()} == set(CALIBRATORS)


@each_kind
def test_it_goes_through_json_and_back(calibrator: Calibrator) -> None:
    text = json.dumps(calibrator.to_dict(), allow_nan=False)
    assert calibrator_from_dict(json.loads(text)) == calibrator


@each_kind
def test_it_records_what_it_was_fitted_with(calibrator: Calibrator) -> None:
    record = calibrator.fitted_with
    assert (record.n_samples, record.masks, record.seed, record.rng) == SETTINGS
    assert record.n_rows == 60
    assert record.data_digest.startswith("sha256:")


@each_kind
def test_it_is_void_under_other_settings_and_says_which(calibrator: Calibrator) -> None:
    differences = calibrator.fitted_with.differences
    assert differences(SETTINGS) == ()
    assert differences(SETTINGS._replace(n_samples=4)) == ("n_samples is 4, fitted with 8",)
    for other in (
        SETTINGS._replace(seed=4),
        SETTINGS._replace(masks="independent"),
        SETTINGS._replace(rng="x"),
    ):
        assert len(differences(other)) == 1


@each_kind
def test_it_cannot_be_changed(calibrator: Calibrator) -> None:
    with pytest.raises(FrozenInstanceError):
        calibrator.fitted_with = FittedWith(1, "x")  # type: ignore[misc]


@each_kind
def test_data_with_a_missing_or_unknown_value_are_refused(calibrator: Calibrator) -> None:
    data = calibrator.to_dict()
    with pytest.raises(OptionError, match="calibrator must have kind"):
        calibrator_from_dict(data | {"surprise": 1})
    with pytest.raises(OptionError, match="calibrator must have kind"):
        calibrator_from_dict({key: value for key, value in data.items() if key != "fitted_with"})


@each_kind
@pytest.mark.parametrize("wrong", ["much", [["a"]], float("nan"), {"x": 1}])
def test_values_that_are_no_numbers_are_refused(calibrator: Calibrator, wrong: object) -> None:
    data = json.loads(json.dumps(calibrator.to_dict()))
    for name in data.keys() - {"kind", "fitted_with"}:
        with pytest.raises((OptionError, ValueError, TypeError, KeyError)):
            calibrator_from_dict(data | {name: wrong})


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(OptionError, match=r"a calibrator must be of kind adaptive_sets, .*, got 'magic'"):
        calibrator_from_dict({"kind": "magic"})


def test_predictions_from_elsewhere_have_no_settings() -> None:
    record = fit_noise_precision(normal(8, 60), Y).fitted_with
    assert (record.n_samples, record.masks, record.seed, record.rng) == (None, None, None, None)


def test_the_digest_is_of_the_numbers_and_their_shape() -> None:
    values = torch.arange(6, dtype=torch.float32)
    assert data_digest(values) == data_digest(values.numpy()) == data_digest(values.double())
    assert data_digest(values) != data_digest(values.reshape(2, 3))
    assert data_digest(values) != data_digest(values.flip(0))
    assert data_digest(np.asfortranarray(values.reshape(2, 3).numpy())) == data_digest(values.reshape(2, 3))


def test_settings_are_compared_by_value() -> None:
    assert SamplingSettings(8, "consistent", 3, "philox-1") == SETTINGS
