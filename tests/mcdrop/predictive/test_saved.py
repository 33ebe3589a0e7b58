"""Predictions on disk: everything comes back, and damage is told."""

from pathlib import Path

import numpy as np
import pytest
import torch

from mcdrop import load_predictions
from mcdrop.datafiles import read_arrays
from mcdrop.errors import DataFileError
from mcdrop.predictive import Predictive, task_named
from tests.mcdrop.predictive.test_predictive import TASKS, made, tasks
from tests.support.predictives import assert_same_rows, predictive_of, raw_outputs

DAMAGED = "does not hold predictions saved by mcdrop"


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    made().save(tmp_path / "saved.npz")
    return tmp_path / "saved.npz"


def there_and_back(pred: Predictive, directory: Path) -> Predictive:
    pred.save(directory / "there.npz")
    return load_predictions(directory / "there.npz")


@tasks
@pytest.mark.parametrize("keep", [True, False])
@pytest.mark.parametrize("levels", [(), (0.1, 1 / 3)])
def test_a_predictive_comes_back_equal(
    task: str, keep: bool, levels: tuple[float, ...], tmp_path: Path
) -> None:
    pred = made(task, keep=keep, levels=levels, seed=3)
    found = there_and_back(pred, tmp_path)
    assert type(found) is type(pred)
    assert found.notes == pred.notes
    assert_same_rows(found, pred)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_the_dtype_comes_back(dtype: torch.dtype, tmp_path: Path) -> None:
    pred = predictive_of(raw_outputs(40, 7, 1, dtype=dtype), "regression")
    assert_same_rows(there_and_back(pred, tmp_path), pred)


def test_what_one_task_alone_has_comes_back(tmp_path: Path) -> None:
    tau = task_named("regression", tau=0.1)
    axis = task_named("classification", class_axis=-1)
    for i, pred in enumerate(
        [predictive_of(raw_outputs(40, 7, 1), tau), predictive_of(raw_outputs(40, 7, 4, 3), axis)]
    ):
        (tmp_path / str(i)).mkdir()
        found = there_and_back(pred, tmp_path / str(i))
        assert_same_rows(found, pred)
        np.testing.assert_array_equal(found.std, pred.std)


def test_nan_comes_back(tmp_path: Path) -> None:
    raw = raw_outputs(40, *TASKS["raw"])
    raw[0, 0] = torch.nan
    pred = predictive_of(raw, "raw")
    assert_same_rows(there_and_back(pred, tmp_path), pred)


def test_an_existing_file_is_left_alone(saved: Path) -> None:
    before = saved.read_bytes()
    with pytest.raises(DataFileError, match=r"saved\.npz exists; choose another name, or delete it first"):
        made().save(saved)
    assert saved.read_bytes() == before


def test_another_ending_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"predictions are saved as \.npz, got 'p\.pkl'"):
        made().save(tmp_path / "p.pkl")


def test_a_directory_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"p\.npz cannot be written: No such file or directory"):
        made().save(tmp_path / "missing" / "p.npz")


def test_nothing_but_the_file_is_left(saved: Path) -> None:
    assert [path.name for path in saved.parent.iterdir()] == ["saved.npz"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"there is no file .*absent\.npz"):
        load_predictions(tmp_path / "absent.npz")


@pytest.mark.parametrize("keep", [0, 10, 500, -30])
def test_a_file_that_was_cut_off_is_told(keep: int, saved: Path) -> None:
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(DataFileError, match=DAMAGED):
        load_predictions(saved)


def test_a_changed_byte_is_told_or_harmless(saved: Path) -> None:
    sound, pred = saved.read_bytes(), load_predictions(saved)
    for place in range(0, len(sound), 97):
        saved.write_bytes(sound[:place] + bytes([sound[place] ^ 0xFF]) + sound[place + 1 :])
        try:
            assert_same_rows(load_predictions(saved), pred)
        except DataFileError as error:
            assert DAMAGED in str(error)  # noqa: PT017  either is right, byte by byte


@pytest.mark.parametrize(
    "facts",
    [
        "[]",
        "{}",
        "not JSON",
        '{"format": 2}',
        '{"format": 1, "bfloat16": [], "task": "raw", "levels": [], "notes": [], "sampled": {}}',
        '{"format": 1, "bfloat16": ["variance"], "task": "raw"}',
        '{"format": 1, "bfloat16": [], "task": "sculpture"}',
    ],
)
def test_facts_that_say_something_else_are_told(facts: str, tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", facts=np.array(facts), mean=np.zeros(3))
    with pytest.raises(DataFileError, match=DAMAGED):
        load_predictions(tmp_path / "p.npz")


@pytest.mark.parametrize("lost", ["mean", "kept_samples"])
def test_missing_tensors_are_told(saved: Path, tmp_path: Path, lost: str) -> None:
    with np.load(saved) as file:
        np.savez(tmp_path / "p.npz", **{name: values for name, values in file.items() if name != lost})
    with pytest.raises(DataFileError, match=f"wanted .*'{lost}'"):
        load_predictions(tmp_path / "p.npz")


def test_pickles_are_not_opened(tmp_path: Path) -> None:
    np.savez(tmp_path / "p.npz", facts=np.array({"format": 1}, dtype=object))
    with pytest.raises(DataFileError, match=DAMAGED):
        load_predictions(tmp_path / "p.npz")


def test_an_array_alone_is_no_prediction(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.zeros(3))
    with pytest.raises(DataFileError, match=DAMAGED):
        load_predictions(tmp_path / "p.npy")


@pytest.mark.parametrize("content", [b"{}", b"PK", b"\x80\x04K\x01."], ids=["JSON", "cut off", "a pickle"])
def test_of_a_file_of_another_kind_nobody_is_told_to_unpickle_it(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    for read in (load_predictions, read_arrays):
        with pytest.raises(DataFileError, match=r"\(it is no archive of arrays, or its end is missing\)$"):
            read(path)
