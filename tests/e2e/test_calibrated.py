"""Promises of a calibrated checkpoint over HTTP, with the library's own bits, and void where they are."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import mcdrop
from mcdrop.calibrating import calibrate
from mcdrop.checkpoint import InputSpec
from mcdrop.zoo import create
from tests.e2e.conftest import SERVE
from tests.e2e.test_same_bits import assert_same_bits
from tests.support.wire import Server, get, post, running

SAMPLES = 32


@pytest.fixture(scope="module")
def calibrated(models: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped models with fitted promises, as new checkpoints."""
    directory = tmp_path_factory.mktemp("calibrated")
    for name, methods in {"digits": ("sets", "selective"), "diabetes": ("conformal-quantiles",)}.items():
        mc = mcdrop.load(models / name)
        data = np.load(models / name / "validation.npz")
        pred = mc.predict(data["x"], n_samples=SAMPLES, seed=0, exact=True)
        found = [calibrate(pred, data["y"], method) for method in methods]
        assert mc.manifest is not None
        mc.calibrated(*found).save(directory / name, inputs=mc.manifest.inputs)
    noisy = mcdrop.MCDropout(create("digits_cnn", width=2, hidden=8, p=0.5), task="heteroscedastic")
    data = np.load(models / "digits" / "validation.npz")
    y = np.stack([data["y"][:100]] * 5, 1)
    for method in ("std", "conformal"):
        pred = noisy.predict(data["x"][:100], n_samples=SAMPLES, exact=True)
        noisy = noisy.calibrated(calibrate(pred, y, method))
    inputs = [InputSpec(name="x", dtype="float32", shape=[1, 8, 8])]
    noisy.save(directory / "noisy", inputs=inputs)
    return directory


@pytest.fixture(scope="module")
def promising(calibrated: Path) -> Iterator[Server]:
    with running([*SERVE, str(calibrated), "--port", "0"]) as server:
        yield server


def test_sets_and_abstention_have_the_librarys_bits_whoever_asks_beside(
    promising: Server, calibrated: Path, models: Path
) -> None:
    x = np.load(models / "digits" / "test.npz")["x"]
    outputs = ["prediction_set", "answered", "mean"]
    asked = [x[rows : rows + 1 + rows % 5] for rows in range(12)]
    documents = [
        {"inputs": each.tolist(), "n_samples": SAMPLES, "seed": 0, "outputs": outputs} for each in asked
    ]
    with ThreadPoolExecutor(12) as pool:
        answers = list(
            pool.map(lambda each: post(promising, "/v1/models/digits/predict", each).document, documents)
        )
    mc = mcdrop.load(calibrated / "digits")
    for each, answer in zip(asked, answers, strict=True):
        wanted = mc.predict(each, n_samples=SAMPLES, seed=0, exact=True)
        assert answer["notes"] == list(wanted.notes)
        for name in outputs:
            assert_same_bits(answer["outputs"][name], getattr(wanted, name))


def test_intervals_have_the_librarys_bits(promising: Server, calibrated: Path, models: Path) -> None:
    x = np.load(models / "diabetes" / "test.npz")["x"][:20]
    outputs = ["lower", "upper", "mean"]
    asked = {"inputs": x.tolist(), "n_samples": SAMPLES, "seed": 0, "outputs": outputs, "deterministic": True}
    answer = post(promising, "/v1/models/diabetes/predict", asked).document
    wanted = mcdrop.load(calibrated / "diabetes").predict(x, n_samples=SAMPLES, seed=0, exact=True)
    for name in (*outputs, "deterministic"):
        assert_same_bits(answer["outputs"][name], getattr(wanted, name))


def test_a_network_that_tells_its_noise_has_promised_intervals_too(
    promising: Server, calibrated: Path, models: Path
) -> None:
    x = np.load(models / "digits" / "test.npz")["x"][:5]
    outputs = ["lower", "upper", "mean", "std", "aleatoric_std"]
    asked = {"inputs": x.tolist(), "n_samples": SAMPLES, "seed": 0, "outputs": outputs}
    answer = post(promising, "/v1/models/noisy/predict", asked).document
    wanted = mcdrop.load(calibrated / "noisy").predict(x, n_samples=SAMPLES, seed=0, exact=True)
    for name in outputs:
        assert_same_bits(answer["outputs"][name], getattr(wanted, name))


def test_with_a_tolerance_promises_are_given_with_the_librarys_bits_and_marked_void(
    promising: Server, calibrated: Path, models: Path
) -> None:
    auto: dict[str, Any] = {"n_samples": "auto", "tolerance": 0.005, "max_samples": 96, "seed": 0}
    outputs = {"digits": ["prediction_set", "answered", "mean"], "diabetes": ["lower", "upper", "std"]}
    auto_of = {"digits": auto, "diabetes": {**auto, "tolerance": 2.5}}
    for name, asked in outputs.items():
        x = np.load(models / name / "test.npz")["x"][:40]
        document = {"inputs": x.tolist(), **auto_of[name], "outputs": asked, "deterministic": True}
        answer = post(promising, f"/v1/models/{name}/predict", document).document
        wanted = mcdrop.load(calibrated / name).predict(x, **auto_of[name], exact=True)
        assert len(wanted.samples_taken.unique()) > 1
        assert answer["notes"] == list(wanted.notes)
        assert any("calibration is void" in note and "stop at a tolerance" in note for note in wanted.notes)
        for output in (*asked, "deterministic", "samples_taken", "converged"):
            assert_same_bits(answer["outputs"][output], getattr(wanted, output))


def test_a_promise_is_marked_void_under_other_settings(promising: Server, models: Path) -> None:
    assert {"lower", "upper"} <= set(get(promising, "/v1/models/diabetes").document["outputs"])
    rows = np.load(models / "diabetes" / "test.npz")["x"][:1].tolist()
    kept, void = (
        post(promising, "/v1/models/diabetes/predict", {"inputs": rows, "n_samples": n, "seed": 0}).document
        for n in (SAMPLES, 16)
    )
    assert kept["notes"] == []
    assert void["notes"] == [f"calibration is void: n_samples is 16, fitted with {SAMPLES}"]
    tensor = {"name": "x", "shape": [1, 10], "datatype": "FP32", "data": rows}
    answer = post(
        promising, "/v2/models/diabetes/infer", {"inputs": [tensor], "parameters": {"n_samples": 16}}
    )
    assert answer.document["parameters"]["notes"] == void["notes"][0]
