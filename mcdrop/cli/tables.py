"""Predictions as a table for people: the first rows, and of each row the numbers that matter first."""

from itertools import compress
from typing import Any, Final

import numpy as np
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from mcdrop.checkpoint import Manifest
from mcdrop.datafiles import Array
from mcdrop.predictive import Predictive

__all__ = ["prediction_table"]

ROWS: Final = 10
"""That are shown."""

_COLUMNS: Final = 4
"""Of an output that has more numbers for each row, these are shown."""


_LEFT_TO_FILES: Final = frozenset({"deterministic", "expected_entropy", "standard_error"})


def prediction_table(predictive: Predictive, manifest: Manifest) -> RenderableType:
    """The first rows, under a line that says how they were drawn.

    Args:
        predictive: Of all rows.
        manifest: Names of classes or outputs.
    """
    first = predictive[: min(ROWS, len(predictive))]
    columns = _columns(first, manifest)
    table = Table(header_style="bold")
    for name in ("row", *columns):
        table.add_column(name, justify="right")
    for row in range(len(first)):
        table.add_row(str(row), *(cells[row] for cells in columns.values()))
    notes = [Text(f"note: {note}", style="dim") for note in predictive.notes]
    return Group(Text(_title(predictive, manifest), style="bold"), table, *notes)


def _title(predictive: Predictive, manifest: Manifest) -> str:
    rows = f"{len(predictive)} rows"
    shown = rows if len(predictive) <= ROWS else f"first {ROWS} of {rows}"
    most = "" if predictive.sampled.tolerance is None else "at most "
    return f"{manifest.name}: {shown}, {most}{predictive.n_samples} samples, seed {predictive.seed}"


def _columns(first: Predictive, manifest: Manifest) -> dict[str, list[str]]:
    outputs = first.numpy()
    shown = {name: values for name, values in outputs.items() if name not in _LEFT_TO_FILES}
    label = shown.pop("label", None)
    if label is None or label.ndim != 1 or first.mean.ndim != 2:
        return _plain_columns({**({} if label is None else {"label": label}), **shown}, manifest)
    names = manifest.classes or [str(index) for index in range(first.mean.shape[1])]
    sets = [", ".join(compress(names, row)) for row in shown.pop("prediction_set", ())]
    probabilities = {f"{name} of label": _at(label, shown.pop(name)) for name in ("mean", "std")}
    return {
        "label": [names[index] for index in label.tolist()],
        **{name: _texts(values) for name, values in {**probabilities, **shown}.items()},
        **({"prediction_set": sets} if sets else {}),
    }


def _plain_columns(outputs: dict[str, Array], manifest: Manifest) -> dict[str, list[str]]:
    columns: dict[str, list[str]] = {}
    for name, values in outputs.items():
        flat = values.reshape(len(values), -1)
        for index in range(min(flat.shape[1], _COLUMNS)):
            columns[_column_name(name, index, flat.shape[1], manifest)] = _texts(flat[:, index])
    return columns


def _column_name(output: str, index: int, count: int, manifest: Manifest) -> str:
    if count == 1:
        return output
    names = manifest.outputs.names
    return f"{output} {index if names is None or len(names) != count else names[index]}"


def _at(label: Array, values: Array) -> Array:
    picked: Array = values[np.arange(len(label)), label]
    return picked


def _texts(values: Array) -> list[str]:
    return [_text(value) for value in values.tolist()]


def _text(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
