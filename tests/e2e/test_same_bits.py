"""Promise 7: what HTTP returns equals what the library returns with `exact=True`, to the last bit."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch

import mcdrop
from tests.support.scraping import changes, samples
from tests.support.wire import Server, get, post

HISTOGRAMS = {
    "predictive_entropy": "predictive_entropy",
    "mutual_information": "mutual_information",
    "std": "predictive_std",
}
SHAPES = {"digits": (1, 8, 8), "diabetes": (10,)}


def inputs(name: str, rows: int) -> npt.NDArray[np.float32]:
    """Pixels from 0 to 16, or ten numbers of a patient's size."""
    uniform = np.random.default_rng(rows).random((rows, *SHAPES[name]), dtype=np.float32)
    return uniform * np.float32(16 if name == "digits" else 100)


def assert_same_bits(answer: Any, wanted: torch.Tensor) -> None:
    """Numbers from JSON, read in the wanted dtype, against a tensor."""
    array = wanted.numpy()
    plain = {"f": np.float64, "i": np.int64, "b": np.bool_}[array.dtype.kind]
    read = np.array(answer, dtype=plain).astype(array.dtype)
    assert read.shape == array.shape
    assert read.tobytes() == array.tobytes()


@pytest.mark.parametrize("rows", [1, 37])
@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_every_number_equals_the_librarys_to_the_last_bit(
    server: Server, models: Path, name: str, rows: int
) -> None:
    x = inputs(name, rows)
    levels = [0.05, 0.5, 0.95]
    names = get(server, f"/v1/models/{name}").document["outputs"]
    request = {"inputs": x.tolist(), "n_samples": 64, "seed": 7, "outputs": names, "quantiles": levels}
    document = post(server, f"/v1/models/{name}/predict", request).document
    mc = mcdrop.load(models / name)
    wanted = mc.predict(x, n_samples=64, seed=7, exact=True, quantiles=levels)
    assert (document["n_samples"], document["seed"]) == (64, 7)
    assert (document["digest"], document["fingerprint"]) == (mc.digest, mc.fingerprint_id())
    assert set(document["outputs"]) == {*names, "quantiles"}
    for output in names:
        assert_same_bits(document["outputs"][output], getattr(wanted, output))
    assert_same_bits(document["outputs"]["quantiles"], wanted.quantile(levels))


@pytest.mark.parametrize("name", ["digits", "diabetes"])
def test_a_request_that_says_nothing_gets_the_checkpoints_defaults(
    server: Server, models: Path, name: str
) -> None:
    x = inputs(name, 3)
    before = samples(server)
    document = post(server, f"/v1/models/{name}/predict", {"inputs": x.tolist()}).document
    counted = changes(before, samples(server))
    mc = mcdrop.load(models / name)
    wanted = mc.predict(x, exact=True)
    assert (document["n_samples"], document["seed"]) == (mc.n_samples, mc.seed)
    assert tuple(document["outputs"]) == tuple(wanted.default_outputs)
    for output in wanted.default_outputs:
        assert_same_bits(document["outputs"][output], getattr(wanted, output))
    for output in HISTOGRAMS.keys() & document["outputs"]:
        histogram, numbers = f"mcdrop_{HISTOGRAMS[output]}", np.ravel(document["outputs"][output])
        assert counted[f"{histogram}_sum", name, "1"] == pytest.approx(numbers.sum())
        assert counted[f"{histogram}_count", name, "1"] == len(numbers)


def test_the_same_request_gives_the_same_bytes_twice(server: Server) -> None:
    request = {"inputs": inputs("digits", 5).tolist(), "seed": 3}
    first, second = (post(server, "/v1/models/digits/predict", request).body for _ in range(2))
    assert first == second
