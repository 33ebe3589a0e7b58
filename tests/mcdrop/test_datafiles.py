"""Data come in under the right names or not at all."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mcdrop.datafiles import read_column, read_data, replacing
from mcdrop.errors import DataFileError


def npz(path: Path, **values: object) -> Path:
    """An `.npz` file."""
    np.savez(path, **values)  # type: ignore[arg-type]
    return path


def text(path: Path, contents: str) -> Path:
    """A text file."""
    path.write_text(contents, encoding="utf-8")
    return path


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


@pytest.mark.parametrize(
    ("groups", "width", "wanted"),
    [
        ("m,f", None, [[1], [3]]),
        ("m,f", 1, [[1], [3]]),
        ("5,6", 1, [[1], [3]]),
        ("5,6", 2, [[1, 5], [3, 6]]),
        ("5,6", None, [[1, 5], [3, 6]]),
    ],
    ids=["texts", "texts of a known width", "one too many", "one of them", "numbers"],
)
def test_a_column_of_groups_is_an_input_only_where_it_can_be(
    tmp_path: Path, groups: str, width: int | None, wanted: list[object]
) -> None:
    first, second = groups.split(",")
    path = text(tmp_path / "a.csv", f"a,site,y\n1,{first},0\n3,{second},1\n")
    np.testing.assert_array_equal(read_data(path, ["x"], aside="site", width=width).inputs["x"], wanted)


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
        ("a,sex\n1,m\n", r"sex must be numbers, got 'm' in row 0; .*--columns.* all but the outcomes"),
        ("a;b\n1,5;2\n", "commas between its columns .*, got ';'"),
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


@pytest.mark.parametrize(
    ("cells", "wanted"),
    [("1,,3", [1.0, np.nan, 3.0]), ("a,,b", ["a", "", "b"]), ("1,,b", ["1", "", "b"])],
)
def test_a_column_of_groups_may_have_gaps(tmp_path: Path, cells: str, wanted: list[object]) -> None:
    rows = "\n".join(f"{cell},0" for cell in cells.split(","))
    found = read_column(text(tmp_path / "a.csv", f"site,y\n{rows}\n"), "site", gaps=True)
    np.testing.assert_array_equal(found, np.array(wanted))
    table = pa.table({"site": [None if cell == "" else cell for cell in cells.split(",")]})
    for kind in (table, pa.table({"site": table["site"].dictionary_encode()})):  # as of pandas.Categorical
        pq.write_table(kind, tmp_path / "a.parquet")
        np.testing.assert_array_equal(
            read_column(tmp_path / "a.parquet", "site", gaps=True), np.array(wanted)
        )
