"""Data come in under the right names or not at all, and predictions go out without losing a bit."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from mcdrop.datafiles import read_data, replacing, write_predictions
from mcdrop.errors import DataFileError, MissingExtraError
from mcdrop.predictive import RegressionPredictive, Sampled, load_predictions

FLOATS = arrays.arrays(
    np.float32,
    st.tuples(st.integers(1, 4), st.integers(1, 3)),
    elements=st.floats(width=32, allow_nan=False, allow_infinity=False),
)


def npz(path: Path, **values: object) -> Path:
    """An `.npz` file."""
    np.savez(path, **values)  # type: ignore[arg-type]
    return path


def text(path: Path, contents: str) -> Path:
    """A text file."""
    path.write_text(contents, encoding="utf-8")
    return path


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


def test_an_npz_gives_each_input_by_its_name(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", ids=np.arange(3), mask=np.ones((3, 2)), y=np.arange(3), other=np.ones(1))
    data = read_data(path, ["ids", "mask"])
    assert set(data.inputs) == {"ids", "mask"}
    assert data.inputs["ids"].dtype == np.int64
    assert data.y is not None
    assert len(data) == 3


def test_the_only_input_may_be_called_x(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.zeros((2, 1, 8, 8), np.float32))
    data = read_data(path, ["image"])
    assert data.inputs["image"].shape == (2, 1, 8, 8)
    assert data.y is None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    ("header", "columns", "wanted"),
    [
        (["b", "a", "y"], None, [[1, 2], [3, 4]]),
        (["b", "a", "y"], {"x": ["a", "b"]}, [[2, 1], [4, 3]]),
        (["x_1", "x_0", "y"], None, [[2, 1], [4, 3]]),
        (["x_0", "id", "y"], None, [[1], [3]]),
        (["id", "x", "y"], None, [2, 4]),
    ],
    ids=["in their order", "as listed", "numbered", "numbered, and others", "by name"],
)
def test_a_table_gives_its_columns(
    tmp_path: Path, suffix: str, header: list[str], columns: dict[str, list[str]] | None, wanted: list[object]
) -> None:
    path, rows = tmp_path / f"a{suffix}", [[1.0, 2.0, 0.5], [3.0, 4.0, 1.5]]
    if suffix == ".csv":
        text(path, "\n".join(",".join(row) for row in [header, ["1", "2", ".5"], ["3", "4", "1.5"]]))
    else:
        table = dict(zip(header, zip(*rows, strict=True), strict=True))
        pq.write_table(pa.table(table), path)
    data = read_data(path, ["x"], columns=columns)
    np.testing.assert_array_equal(data.inputs["x"], wanted)
    np.testing.assert_array_equal(data.y, [0.5, 1.5])


def test_another_column_can_be_the_target(tmp_path: Path) -> None:
    data = read_data(text(tmp_path / "a.csv", "price,size\n3,1\n4,2\n"), ["x"], target="price")
    np.testing.assert_array_equal(data.y, [3, 4])
    np.testing.assert_array_equal(data.inputs["x"], [[1], [2]])


def test_targets_may_be_names_of_classes(tmp_path: Path) -> None:
    data = read_data(text(tmp_path / "a.csv", "a,y\n1,cat\n2,dog\n"), ["x"])
    assert data.y is not None
    assert data.y.tolist() == ["cat", "dog"]


def test_a_spreadsheet_s_mark_and_blank_lines_are_ignored(tmp_path: Path) -> None:
    data = read_data(text(tmp_path / "a.csv", "\ufeffa\n1\n\n2\n"), ["x"], columns={"x": ["a"]})
    np.testing.assert_array_equal(data.inputs["x"], [[1], [2]])


def test_a_parquet_column_may_hold_an_image_in_each_row(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    pq.write_table(pa.table({"image": [[1.0, 2.0], [3.0, 4.0]]}), path)
    np.testing.assert_array_equal(read_data(path, ["image"]).inputs["image"], [[1, 2], [3, 4]])


@pytest.mark.parametrize(
    ("contents", "problem"),
    [
        ("", "a line of column names and a row"),
        ("a,b\n", "a line of column names and a row"),
        ("a,b\n1\n", "line 2 must have 2 cells, got 1"),
        ("a,b\n1,2\n1,2,3\n", "line 3 must have 2 cells, got 3"),
        ("a,a\n1,2\n", "two columns named 'a'"),
        ("a,b\n1,2\n1,\n", "b must be numbers, got '' in row 1"),
        ("a,b\n1,2\n1,two\n", "b must be numbers, got 'two' in row 1"),
        ("a,b\n1,2\n1,nan\n", "x must be finite, got nan in row 1"),
        ("a,b\n1,inf\n1,inf\n", r"x must be finite, got inf in row 0 \(2 such values\)"),
        ('a,b\n"1,2\n', "is not a .csv file"),
        ("y\n1\n", "the data lack 'x'; they have nothing"),
    ],
)
def test_a_csv_that_cannot_be_read_says_where(tmp_path: Path, contents: str, problem: str) -> None:
    with pytest.raises(DataFileError, match=problem):
        read_data(text(tmp_path / "a.csv", contents), ["x"])


def test_a_file_in_another_encoding_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n\xff\n")
    with pytest.raises(DataFileError, match=r"is not a \.csv file in UTF-8"):
        read_data(path, ["x"])


def test_missing_inputs_are_listed_beside_those_that_are_there(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", ids=np.ones(2), y=np.ones(2))
    with pytest.raises(DataFileError, match="the data lack 'mask'; they have ids"):
        read_data(path, ["ids", "mask"])
    with pytest.raises(DataFileError, match="the data lack sex; they have age"):
        read_data(text(tmp_path / "a.csv", "age\n1\n"), ["x"], columns={"x": ["age", "sex"]})


def test_rows_must_be_equally_many(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.ones((3, 2)), y=np.ones(2))
    with pytest.raises(DataFileError, match="equally many rows of each, but x has 3, y has 2"):
        read_data(path, ["x"])


@pytest.mark.parametrize("empty", [np.ones((0, 2)), np.float64(1)])
def test_there_must_be_a_row(tmp_path: Path, empty: object) -> None:
    with pytest.raises(DataFileError, match="at least one row"):
        read_data(npz(tmp_path / "a.npz", x=empty), ["x"])


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    path = npz(tmp_path / "a.npz", x=np.array([object()], dtype=object))
    with pytest.raises(DataFileError, match=r"is not an \.npz file of plain arrays"):
        read_data(path, ["x"])


@pytest.mark.parametrize("suffix", [".npz", ".csv", ".parquet"])
def test_a_damaged_or_missing_file_is_a_data_file_error(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    with pytest.raises(DataFileError, match="there is no file"):
        read_data(path, ["x"])
    path.write_bytes(b"PK\x03\x04 and nothing more \xff")
    with pytest.raises(DataFileError, match=f"is not an? {suffix} file"):
        read_data(path, ["x"])


def test_other_kinds_of_file_are_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match=r"read from \.npz, \.csv, \.parquet, got 'a\.pkl'"):
        read_data(text(tmp_path / "a.pkl", ""), ["x"])
    with pytest.raises(DataFileError, match=r"written to \.csv, \.npz, \.json, \.parquet, got 'a\.pkl'"):
        write_predictions(prediction(np.ones((1, 1), np.float32)), tmp_path / "a.pkl")


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
    drawn |= {"tolerance": None}  # of as many samples as each row takes
    assert {name: value for name, value in document.items() if name != "outputs"} == {
        "task": "regression",
        **drawn,
    }


def test_numbers_that_json_cannot_say_are_refused_and_nothing_is_left(tmp_path: Path) -> None:
    with pytest.raises(DataFileError, match="JSON has no NaN"):
        write_predictions(prediction(np.full((1, 1), np.inf, np.float32)), tmp_path / "p.json")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_file_is_replaced_only_when_the_new_one_is_whole(tmp_path: Path) -> None:
    path = text(tmp_path / "p.json", "old")
    with pytest.raises(DataFileError, match="JSON has no NaN"):
        write_predictions(prediction(np.full((1, 1), np.nan, np.float32)), path)
    assert path.read_text() == "old"
    write_predictions(prediction(np.ones((1, 1), np.float32)), path)
    assert json.loads(path.read_text())["seed"] == 3
    assert [each.name for each in tmp_path.iterdir()] == ["p.json"]


def test_a_link_stays_and_its_target_is_replaced(tmp_path: Path) -> None:
    target, link = text(tmp_path / "target.txt", "old"), tmp_path / "link.txt"
    link.symlink_to(target)
    with replacing(link) as partial:
        partial.write_text("new")
    assert link.is_symlink()
    assert target.read_text() == "new"


@pytest.mark.parametrize("path", ["folder", "no/such/folder/p.csv"])
def test_a_place_that_cannot_be_written_says_so(tmp_path: Path, path: str) -> None:
    (tmp_path / "folder").mkdir()
    with (
        pytest.raises(DataFileError, match=r"must be a plain file|cannot be written"),
        replacing(tmp_path / path) as out,
    ):
        out.write_text("new")


def test_pyarrow_is_asked_for_only_where_it_is_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    write_predictions(prediction(np.ones((1, 1), np.float32)), tmp_path / "p.csv")
    with pytest.raises(MissingExtraError, match=r"pip install 'mcdrop\[parquet\]'"):
        write_predictions(prediction(np.ones((1, 1), np.float32)), tmp_path / "p.parquet")
