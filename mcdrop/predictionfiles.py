"""Predictions to `.csv`, `.npz`, `.json` and `.parquet`, with what must be known about them.

Every kind of file says what a reader of the numbers has to know, such as that a calibrator's promise is void:
`.npz` and `.json` among their facts, `.parquet` in its metadata under `mcdrop`. A `.csv` has no such place,
and a line of comment would break its readers: it gets a last column `notes`, only if there are any.
"""

import csv
import json
from collections.abc import Callable
from dataclasses import asdict
from os import PathLike
from pathlib import Path
from typing import Any, Final

import numpy as np

from mcdrop.datafiles import Array, replacing
from mcdrop.errors import DataFileError
from mcdrop.extras import require
from mcdrop.predictive import Predictive

__all__ = ["check_output", "write_predictions"]


def write_predictions(predictive: Predictive, path: str | PathLike[str]) -> None:
    """Write predictions to a file, in place of one that may be there.

    Args:
        predictive: All its rows, outputs and notes are written; `load_predictions` reads an `.npz` back.
        path: A file that ends in `.csv`, `.npz`, `.json` or `.parquet`.

    Raises:
        DataFileError: If it cannot be written, or ends in something else.
        MissingExtraError: If it is a parquet file and pyarrow is not installed.
    """
    target = Path(path)
    check_output(target)
    with replacing(target) as partial:
        _WRITERS[target.suffix](predictive, partial)


def check_output(path: Path) -> None:
    """See that predictions can be written to a file of that name, before they are made.

    Raises:
        DataFileError: If not.
    """
    if path.suffix not in _WRITERS:
        raise DataFileError(f"predictions are written to {', '.join(_WRITERS)}, got {path.name!r}")


def _facts(predictive: Predictive) -> dict[str, Any]:
    """What JSON can hold of how the predictions came to be, and what is to be known about them."""
    return {"task": predictive.task, **asdict(predictive.sampled), "notes": list(predictive.notes)}


def _write_npz(predictive: Predictive, path: Path) -> None:
    predictive.save(path)


def _write_csv(predictive: Predictive, path: Path) -> None:
    columns = predictive.columns()
    if predictive.notes:
        columns["notes"] = np.full(len(predictive), "; ".join(predictive.notes))
    # As text each number is the shortest that reads back to the same value of its own dtype.
    cells = (values.astype(str) for values in columns.values())
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(columns)
        writer.writerows(zip(*cells, strict=True))


def _write_parquet(predictive: Predictive, path: Path) -> None:
    table = require("pyarrow", extra="parquet").table(predictive.columns())
    described = table.replace_schema_metadata({"mcdrop": json.dumps(_facts(predictive))})
    require("pyarrow.parquet", extra="parquet").write_table(described, path)


def _write_json(predictive: Predictive, path: Path) -> None:
    outputs = {name: _shortest(values) for name, values in predictive.numpy().items()}
    try:
        text = json.dumps({**_facts(predictive), "outputs": outputs}, indent=None, allow_nan=False)
    except ValueError as error:
        raise DataFileError(
            "JSON has no NaN or infinity, and the predictions have; write .csv or .npz"
        ) from error
    path.write_text(f"{text}\n", encoding="utf-8")


def _shortest(values: Array) -> Any:
    """Nested lists of numbers, whose shortest decimals read back to the same value in the array's dtype."""
    return values.tolist() if values.dtype.kind != "f" else values.astype(str).astype(np.float64).tolist()


_WRITERS: Final[dict[str, Callable[[Predictive, Path], None]]] = {
    ".csv": _write_csv,
    ".npz": _write_npz,
    ".json": _write_json,
    ".parquet": _write_parquet,
}
