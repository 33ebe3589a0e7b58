"""Predictions go out without losing a bit, and with what must be known about them."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mcdrop.errors import DataFileError, MissingExtraError
from mcdrop.predictionfiles import write_predictions
from mcdrop.predictive import RegressionPredictive, Sampled, load_predictions

FLOATS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def prediction(mean: np.ndarray) -> RegressionPredictive:
    """A predictive with this mean, whose other numbers are near it."""
    values = torch.from_numpy(mean)
    return RegressionPredictive(
        sampled=Sampled(16, 3, "consistent", "philox-1"),
        mean=values,
        sample_std=values.abs(),
        standard_error=values.abs() / 4,
        deterministic=values,
        kept_samples=None,
        levels=(),
        level_values=None,
        notes=(),
    )


def test_other_kinds_of_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"written to \.csv, \.npz, \.json, \.parquet, got 'a\.pkl'"):
        write_predictions(prediction(np.ones((1, 1), np.float32)), tmp_path / "a.pkl")


def test_every_kind_of_file_holds_the_notes(tmp_path: Path) -> None:
    notes = ("calibration is void: seed is 1, fitted with 0", "zero_variance")
    noted = replace(prediction(np.ones((2, 1), np.float32)), notes=notes)
    for suffix in (".csv", ".json", ".npz", ".parquet"):
        write_predictions(noted, tmp_path / f"p{suffix}")
    with (tmp_path / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["notes"] for row in rows] == ["; ".join(notes)] * 2
    assert list(rows[0])[-1] == "notes"
    assert json.loads((tmp_path / "p.json").read_text())["notes"] == list(notes)
    assert load_predictions(tmp_path / "p.npz").notes == notes
    metadata = pq.read_schema(tmp_path / "p.parquet").metadata
    assert json.loads(metadata[b"mcdrop"])["notes"] == list(notes)


def test_a_table_without_notes_is_of_numbers_alone(tmp_path: Path) -> None:
    write_predictions(prediction(np.ones((2, 1), np.float32)), tmp_path / "p.csv")
    assert "notes" not in (tmp_path / "p.csv").read_text()


@given(mean=FLOATS)
def test_every_number_reads_back_to_the_same_bits(
    tmp_path_factory: pytest.TempPathFactory, mean: np.ndarray
) -> None:
    directory = tmp_path_factory.mktemp("out")
    written = prediction(mean)
    for suffix in (".csv", ".json", ".npz", ".parquet"):
        write_predictions(written, directory / f"p{suffix}")
    flat = mean.T
    names = ["mean"] if len(flat) == 1 else [f"mean_{i}" for i in range(len(flat))]
    with (directory / "p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    table = pq.read_table(directory / "p.parquet")
    for name, column in zip(names, flat, strict=True):
        np.testing.assert_array_equal(np.array([row[name] for row in rows], np.float32), column)
        np.testing.assert_array_equal(table.column(name).to_numpy(), column)
    document = json.loads((directory / "p.json").read_text())
    np.testing.assert_array_equal(np.array(document["outputs"]["mean"], np.float32), mean)
    assert torch.equal(load_predictions(directory / "p.npz").mean, written.mean)


def test_json_says_how_the_samples_were_drawn(tmp_path: Path) -> None:
    write_predictions(prediction(np.ones((2, 1), np.float32)), tmp_path / "p.json")
    document = json.loads((tmp_path / "p.json").read_text())
    drawn = {"n_samples": 16, "seed": 3, "masks": "consistent", "rng": "philox-1", "exact": False}
    drawn |= {"notes": [], "tolerance": None}  # of as many samples as each row takes
    assert {name: value for name, value in document.items() if name != "outputs"} == {
        "task": "regression",
        **drawn,
    }


def test_numbers_that_json_cannot_say_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="JSON has no NaN"):
        write_predictions(prediction(np.full((1, 1), np.inf, np.float32)), tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text("old")
    with pytest.raises(DataFileError, match="JSON has no NaN"):
        write_predictions(prediction(np.full((1, 1), np.nan, np.float32)), path)
    assert path.read_text() == "old"
    write_predictions(prediction(np.ones((1, 1), np.float32)), path)
    assert json.loads(path.read_text())["seed"] == 3
    assert [each.name for each in tmp_path.iterdir()] == ["p.json"]


def test_pyarrow_is_asked_for_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write_predictions(prediction(np.ones((1, 1), np.float32)), tmp_path / "p.csv")
    with pytest.raises(MissingExtraError, match=r"pip install 'mcdrop\[parquet\]'"):
        write_predictions(prediction(np.ones((1, 1), np.float32)), tmp_path / "p.parquet")
