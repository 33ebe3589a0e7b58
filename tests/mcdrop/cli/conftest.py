"""One small checkpoint, data for it, and wide tables."""

from pathlib import Path

import numpy as np
import pytest

from mcdrop.checkpoint import InputSpec
from mcdrop.mcdropout import MCDropout
from mcdrop.zoo import create
from tests.support.checkpoints import small_model


@pytest.fixture(autouse=True)
def _wide_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")


@pytest.fixture(scope="session")
def regression(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint with tau, in a directory named `small`."""
    columns = [f"c{i}" for i in range(10)]
    inputs = [InputSpec(name="columns", dtype="float32", shape=[10], columns=columns)]
    path = tmp_path_factory.mktemp("models") / "small"
    MCDropout(small_model(), task="regression", n_samples=16, tau=0.5).save(path, inputs=inputs)
    return path


@pytest.fixture(scope="session")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of an untrained classifier of images, whose ten classes have names."""
    path = tmp_path_factory.mktemp("models") / "images"
    classes = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    inputs = [InputSpec(name="image", dtype="float32", shape=[1, 8, 8])]
    model = create("digits_cnn", width=2, hidden=8, p=0.5)
    MCDropout(model, task="classification", n_samples=16).save(path, inputs=inputs, classes=classes)
    return path


@pytest.fixture(scope="session")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a network that tells five means and log variances of an image."""
    path = tmp_path_factory.mktemp("models") / "noisy"
    inputs = [InputSpec(name="image", dtype="float32", shape=[1, 8, 8])]
    model = create("digits_cnn", width=2, hidden=8, p=0.5)
    MCDropout(model, task="heteroscedastic", n_samples=16).save(path, inputs=inputs)
    return path


@pytest.fixture(scope="session")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Forty rows for the regression, as `.csv`, with outcomes that its scale makes likely."""
    path = tmp_path_factory.mktemp("data") / "rows.csv"
    values = np.random.default_rng(0).normal(size=(40, 11)).round(3)
    header = ",".join(["y", *(f"c{9 - i}" for i in range(10))])
    np.savetxt(path, values, delimiter=",", header=header, comments="", fmt="%.3f")
    return path


@pytest.fixture(scope="session")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images with labels, as `.npz`."""
    path = tmp_path_factory.mktemp("data") / "images.npz"
    generator = np.random.default_rng(0)
    pixels = generator.uniform(0, 16, size=(12, 1, 8, 8)).astype(np.float32)
    np.savez(path, x=pixels, y=np.arange(12) % 10)
    return path
