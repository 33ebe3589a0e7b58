"""Data files: inputs and targets from `.npz`, `.csv` and `.parquet`.

In an `.npz` each input is an array of its own. In a table an input is the column of its name, or several
columns: those that the checkpoint lists; `x_0`, `x_1`, ... for an input `x`; or, for a model with one
input, all but the target, in their order. Nothing is unpickled, and what is written appears whole or not at
all.

Alphabet: N rows, K columns of one input.
"""

import csv
import secrets
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, takewhile
from os import PathLike
from pathlib import Path
from typing import Any, Final
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from mcdrop.errors import DataFileError
from mcdrop.extras import require
from mcdrop.predictive.archive import whole_archive

__all__ = [
    "Array",
    "Data",
    "read_arrays",
    "read_column",
    "read_data",
    "replacing",
]

Array = NDArray[Any]

_SHOWN: Final = 40
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True)
class Data:
    """What a data file holds for a model.

    Attributes:
        inputs: (N, ...) by the name of the input; (N, K) from a table.
        y: (N, ...) targets, numbers or the names of classes; None if there are none.
        names: Of all arrays or columns of the file.
    """

    inputs: dict[str, Array]
    y: Array | None
    names: tuple[str, ...] = ()

    def outcomes(self, name: str) -> Array:
        """The targets, which were looked for under a name.

        Raises:
            DataFileError: If there are none; says what there is.
        """
        if self.y is None:
            listed = _listing(self.names) or "nothing"
            raise DataFileError(
                f"the data have no outcomes named {name!r}; name them with --target (they have {listed})"
            )
        return self.y

    def __len__(self) -> int:
        """N."""
        return len(next(iter(self.inputs.values())))


def read_data(
    path: str | PathLike[str],
    inputs: Sequence[str],
    *,
    columns: Mapping[str, Sequence[str]] | None = None,
    target: str = "y",
    aside: str | None = None,
    width: int | None = None,
) -> Data:
    """Read the inputs of a model and, where the file has them, its targets.

    Args:
        path: A file that ends in `.npz`, `.csv` or `.parquet`.
        inputs: Names of the model's inputs.
        columns: Of a table, that make an input, by its name.
        target: Name of the targets.
        aside: A column for something else (groups). Where all columns make the input, it is one of them only
            if it holds numbers and `width` does not say that it is one too many.
        width: K of that input, if it is known.

    Raises:
        DataFileError: If the file is missing, damaged or of another kind, lacks an input, or has a value that
            is missing, not finite, or no number.
        MissingExtraError: If it is a parquet file and pyarrow is not installed.
    """
    source = Path(path)
    arrays = _reader(source)(source)
    names = tuple(arrays)
    y = arrays.pop(target, None)
    listed = {} if columns is None else columns
    others = _others(arrays, aside, width) if len(inputs) == 1 else []
    found = {name: _input(name, arrays, listed.get(name), others) for name in inputs}
    data = {name: _finite(name, _numbers(name, values)) for name, values in found.items()}
    data_y = None if y is None else _finite(target, _numbers_or_names(y))
    _check_rows({**data, **({} if data_y is None else {target: data_y})})
    return Data(data, data_y, names)


def read_arrays(path: str | PathLike[str]) -> dict[str, Array]:
    """Every array or column of a data file, by name.

    Args:
        path: A file that ends in `.npz`, `.csv` or `.parquet`.

    Raises:
        DataFileError: If the file is missing, damaged or of another kind.
        MissingExtraError: If it is a parquet file and pyarrow is not installed.
    """
    source = Path(path)
    return _reader(source)(source)


def read_column(path: str | PathLike[str], name: str, *, gaps: bool = False) -> Array:
    """One array or column of a data file: numbers where all its values are, else texts.

    Args:
        path: A file that ends in `.npz`, `.csv` or `.parquet`.
        name: Of the column.
        gaps: Whether values may be missing: they are then NaN among numbers, and empty among texts.

    Raises:
        DataFileError: If the file cannot be read, lacks the column, or has a number in it that is not finite.
        MissingExtraError: If it is a parquet file and pyarrow is not installed.
    """
    arrays = read_arrays(path)
    if name not in arrays:
        raise DataFileError(f"the data lack {name!r}; they have {_listing(list(arrays)) or 'nothing'}")
    return _with_gaps(arrays[name]) if gaps else _finite(name, _numbers_or_names(arrays[name]))


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A new file beside `path` to write to, which takes its place if all went well and disappears otherwise.

    Raises:
        DataFileError: If `path` is no plain file, or cannot be written.
    """
    if path.exists() and not path.is_file():
        raise DataFileError(f"{path} must be a plain file or a new name")
    target = path.resolve()  # of a link, what it points to is replaced, not the link
    partial = target.with_name(f".{secrets.token_hex(8)}.{target.name}")
    try:
        yield partial
        partial.replace(target)
    except OSError as error:
        raise DataFileError(f"{path} cannot be written: {error.strerror}") from error
    finally:
        partial.unlink(missing_ok=True)


def _reader(path: Path) -> Callable[[Path], dict[str, Array]]:
    if path.suffix not in _READERS:
        raise DataFileError(f"data are read from {_listing(_READERS)}, got {path.name!r}")
    if not path.is_file():
        raise DataFileError(f"there is no file {path}")
    return _READERS[path.suffix]


def _listing(names: Mapping[str, object] | Sequence[str]) -> str:
    return ", ".join(names)


def _npz_arrays(path: Path) -> dict[str, Array]:
    try:
        # Opened here, since NumPy leaves the file open when it turns out to be no archive.
        with path.open("rb") as stream, np.load(whole_archive(stream), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, KeyError, TypeError, BadZipFile, zlib.error) as error:
        raise DataFileError(f"{path} is not an .npz file of plain arrays ({error})") from error


def _csv_arrays(path: Path) -> dict[str, Array]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.reader(file, strict=True)
            lines = [(reader.line_num, cells) for cells in reader if cells]
    except (ValueError, OSError, csv.Error) as error:
        raise DataFileError(f"{path} is not a .csv file in UTF-8 ({error})") from error
    if len(lines) < 2:
        raise DataFileError(f"{path} must have a line of column names and a row, got {len(lines)} lines")
    (_, header), *rows = lines
    _check_cells(header, rows, path)
    cells = zip(*(row for _, row in rows), strict=True)
    return {name: np.array(column) for name, column in zip(header, cells, strict=True)}


def _check_cells(header: Sequence[str], rows: Sequence[tuple[int, list[str]]], path: Path) -> None:
    repeated = next((name for name in header if header.count(name) > 1), None)
    if repeated is not None:
        raise DataFileError(f"{path} has two columns named {repeated!r}")
    other = next((mark for mark in (";", "\t") if len(header) == 1 and mark in header[0]), None)
    if other is not None:
        raise DataFileError(
            f"{path} must have commas between its columns (and points in its numbers), got {other!r}"
        )
    for line, row in rows:
        if len(row) != len(header):
            raise DataFileError(f"{path} line {line} must have {len(header)} cells, got {len(row)}")


def _parquet_arrays(path: Path) -> dict[str, Array]:
    pyarrow, parquet = require("pyarrow", extra="parquet"), require("pyarrow.parquet", extra="parquet")
    try:
        table = parquet.read_table(path)
        return {name: _column(table.column(name)) for name in table.column_names}
    except (pyarrow.ArrowException, ValueError, OSError) as error:
        raise DataFileError(f"{path} is not a .parquet file of numbers and texts ({error})") from error


def _column(column: Any) -> Array:
    if hasattr(column.type, "index_type"):  # names by number: `to_numpy` gives what is missing a name
        column = column.cast(column.type.value_type)
    values: Array = column.to_numpy()
    # A column of lists (an image for each row) comes as an array of arrays.
    return np.stack(list(values)) if len(values) and isinstance(values[0], np.ndarray) else values


def _input(
    name: str, arrays: Mapping[str, Array], listed: Sequence[str] | None, others: Sequence[str]
) -> Array:
    if name in arrays:
        return arrays[name]
    if others and "x" in arrays:
        return arrays["x"]
    names = _columns_of(name, arrays, listed, others)
    missing = [column for column in names if column not in arrays]
    if missing or not names:
        lacking = _listing(missing) or repr(name)
        raise DataFileError(f"the data lack {lacking}; they have {_listing(list(arrays)) or 'nothing'}")
    if any(arrays[column].ndim != 1 for column in names):
        raise DataFileError(f"the data must have an array named {name!r}; they have {_listing(list(arrays))}")
    try:
        return np.stack([_numbers(column, arrays[column]) for column in names], axis=1)
    except DataFileError as error:
        if names is not others:
            raise
        raise DataFileError(
            f"{error}; where a checkpoint lists no columns (mcdrop pack --columns) all but the outcomes "
            f"(--target) make {name!r}"
        ) from error


def _columns_of(
    name: str, arrays: Mapping[str, Array], listed: Sequence[str] | None, others: Sequence[str]
) -> Sequence[str]:
    if listed is not None:
        return listed
    numbered = list(takewhile(arrays.__contains__, (f"{name}_{i}" for i in count())))
    return numbered or others


def _others(arrays: Mapping[str, Array], aside: str | None, width: int | None) -> Sequence[str]:
    """All columns; one that is for something else only if it holds numbers and is not one too many."""
    rest = [name for name in arrays if name != aside]
    if len(rest) == len(arrays) or len(rest) == width or not _holds_numbers(arrays[str(aside)]):
        return rest
    return list(arrays)


def _numbers(name: str, values: Array) -> Array:
    if values.dtype.kind in "biuf":
        return values
    try:
        return values.astype(np.float64, casting="unsafe" if values.dtype.kind in "OSU" else "safe")
    except (TypeError, ValueError) as error:
        rows = (row for row, value in enumerate(values.tolist()) if not _is_number(value))
        row = next(rows, 0)
        raise DataFileError(
            f"{name} must be numbers, got {str(values[row])[:_SHOWN]!r} in row {row}"
        ) from error


def _is_number(value: object) -> bool:
    try:
        float(str(value))
    except ValueError:
        return False
    return True


def _numbers_or_names(values: Array) -> Array:
    return _numbers("the targets", values) if _holds_numbers(values) else values.astype(str)


def _with_gaps(values: Array) -> Array:
    if values.dtype.kind not in "OSU":
        return values
    cells = ["" if str(each) in {"None", "nan"} else str(each) for each in values.tolist()]
    known = [cell for cell in cells if cell]
    if known and all(map(_is_number, known)):
        return np.array([float(cell or "nan") for cell in cells])
    return np.array(cells)


def _holds_numbers(values: Array) -> bool:
    return values.dtype.kind not in "OSU" or all(map(_is_number, values.ravel().tolist()))


def _finite(name: str, values: Array) -> Array:
    if values.dtype.kind != "f" or bool(np.isfinite(values).all()):
        return values
    wrong = np.argwhere(~np.isfinite(values))
    came = values[tuple(wrong[0])]
    raise DataFileError(f"{name} must be finite, got {came} in row {wrong[0][0]} ({len(wrong)} such values)")


def _check_rows(arrays: Mapping[str, Array]) -> None:
    rows = {name: len(values) if values.ndim else 0 for name, values in arrays.items()}
    if 0 in rows.values():
        raise DataFileError(f"the data must have at least one row, got none in {_listing(list(rows))}")
    if len(set(rows.values())) > 1:
        came = ", ".join(f"{name} has {number}" for name, number in rows.items())
        raise DataFileError(f"the data must have equally many rows of each, but {came}")


_READERS: Final[dict[str, Callable[[Path], dict[str, Array]]]] = {
    ".npz": _npz_arrays,
    ".csv": _csv_arrays,
    ".parquet": _parquet_arrays,
}
