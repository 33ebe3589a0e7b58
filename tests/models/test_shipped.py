"""What is shipped in `models/` is what its recipe makes, and does what its card says."""

import csv
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

import mcdrop
from mcdrop.datafiles import read_data
from models import card, check, recipe
from models.diabetes import train as diabetes
from models.digits import train as digits
from tests.support.tolerances import EXACT, FLOAT32

MODELS = Path(recipe.__file__).parent
NAMES = sorted(path.parent.name for path in MODELS.glob("*/train.py"))
every_model = pytest.mark.parametrize("name", NAMES)


def recipe_of(name: str) -> ModuleType:
    return import_module(f"models.{name}.train")


def held_out(name: str, part: str) -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    with np.load(MODELS / name / f"{part}.npz") as arrays:
        return arrays["x"], arrays["y"]


def report(name: str, part: str = "test") -> mcdrop.Report:
    x, y = held_out(name, part)
    return mcdrop.evaluate(mcdrop.load(MODELS / name).predict(x), y)


@every_model
def test_held_out_rows_are_those_of_the_fixed_split(name: str) -> None:
    data = recipe_of(name).load()
    for part in ("validation", "test"):
        x, y = held_out(name, part)
        torch.testing.assert_close(torch.from_numpy(x), getattr(data, part).x, **EXACT)
        torch.testing.assert_close(torch.from_numpy(y), getattr(data, part).y, **EXACT)


@every_model
def test_held_out_files_are_data_files_of_the_checkpoint(name: str) -> None:
    manifest = mcdrop.load(MODELS / name).manifest
    assert manifest is not None
    data = read_data(MODELS / name / "test.npz", [spec.name for spec in manifest.inputs])
    assert list(data.inputs["x"].shape[1:]) == manifest.inputs[0].shape
    assert data.inputs["x"].dtype == manifest.inputs[0].dtype


@every_model
def test_the_rates_are_those_with_the_highest_validation_likelihood(name: str) -> None:
    with (MODELS / name / recipe.RATES_FILE).open(newline="") as file:
        best = max(csv.DictReader(file), key=lambda row: float(row["log_likelihood"]))
    rates = recipe_of(name).RATES
    assert rates == {rate: float(best[rate]) for rate in rates}


@every_model
def test_the_table_of_rates_covers_the_grid(name: str) -> None:
    with (MODELS / name / recipe.RATES_FILE).open(newline="") as file:
        rows = list(csv.DictReader(file))
    for rate, values in recipe_of(name).GRID.items():
        assert {float(row[rate]) for row in rows} == set(values)


@every_model
def test_the_manifest_tells_rates_training_and_defaults(name: str) -> None:
    manifest = mcdrop.load(MODELS / name).manifest
    module = recipe_of(name)
    assert manifest is not None
    assert manifest.name == name
    assert manifest.architecture.arguments.items() >= module.RATES.items()
    facts = recipe.training_facts(module.load(), source=f"sklearn.datasets.load_{name}", epochs=module.EPOCHS)
    assert manifest.training == facts
    assert (manifest.sampling.n_samples, manifest.sampling.seed) == (128, 0)


@every_model
def test_the_scores_in_the_manifest_are_those_of_its_test_rows(name: str) -> None:
    manifest = mcdrop.load(MODELS / name).manifest
    assert manifest is not None
    found = card.scores_by_name(report(name).scores)
    assert manifest.scores["test"] == pytest.approx(found, rel=1e-3, abs=1e-6)


@every_model
def test_the_card_holds_the_scores_the_rates_and_the_command(name: str) -> None:
    text = (MODELS / name / "README.md").read_text()
    assert card.rates_table(MODELS / name / recipe.RATES_FILE) in text
    assert f"python -m models.{name}.train" in text
    assert "| score | Monte Carlo | deterministic |" in text


@every_model
def test_one_epoch_gives_the_same_weights_twice(name: str, tmp_path: Path) -> None:
    """In a process of its own, as the command of the card, and here; `make models-check` has all epochs."""
    module = recipe_of(name)
    check.train_apart(name, tmp_path / name, ["--epochs", "1"])
    apart = mcdrop.load(tmp_path / name).model.state_dict()
    here = module.train(module.load().train, seed=recipe.SEEDS[0], epochs=1, **module.RATES).state_dict()
    assert apart.keys() == here.keys()
    assert all(torch.equal(apart[each], here[each]) for each in here)


def test_digits_classifies_98_per_cent_of_its_test_rows() -> None:
    assert report("digits").score("accuracy").value >= 0.98


def test_digits_takes_pixels_as_they_are() -> None:
    x, y = held_out("digits", "test")
    assert x.dtype == np.float32
    assert (x.min(), x.max()) == (0, 16)
    assert set(y.tolist()) == set(range(10))


def test_digits_drops_channels_and_units() -> None:
    sites = mcdrop.load(MODELS / "digits").trace(held_out("digits", "test")[0])
    assert [(site.name, site.kind, site.p) for site in sites] == [
        ("features.5#0", "dropout2d", digits.RATES["channel_p"]),
        ("head.0#0", "dropout", digits.RATES["p"]),
        ("head.3#0", "dropout", digits.RATES["p"]),
    ]


def test_diabetes_is_at_most_3_per_cent_behind_ridge_regression() -> None:
    assert report("diabetes").score("rmse").value <= 1.03 * diabetes.ridge_error(diabetes.load())


def test_diabetes_answers_in_the_units_of_its_outcomes() -> None:
    x, y = held_out("diabetes", "test")
    mean = mcdrop.load(MODELS / "diabetes").predict(x).mean
    assert x.dtype == y.dtype == np.float32
    assert mean.shape == y.shape == (89, 1)
    assert abs(mean.mean().item() - y.mean()) < 0.25 * y.std()


def test_tau_of_diabetes_is_the_likeliest_on_its_validation_rows() -> None:
    mc = mcdrop.load(MODELS / "diabetes")
    x, y = held_out("diabetes", "validation")
    assert mc.tau == pytest.approx(diabetes.fit_tau(mc.sample(x), torch.from_numpy(y)), rel=1e-3)


def test_scaling_of_diabetes_is_that_of_its_training_rows() -> None:
    model = mcdrop.load(MODELS / "diabetes").model
    train = diabetes.load().train
    torch.testing.assert_close(model.columns.mean, train.x.mean(0), **FLOAT32)
    torch.testing.assert_close(model.progression.std, train.y.std(0, correction=0), **FLOAT32)
