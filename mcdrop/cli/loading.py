"""From what the user named to a model and arrays that fit it."""

from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np

from mcdrop.checkpoint import InputSpec, Manifest
from mcdrop.cli.working_directory import look_here
from mcdrop.datafiles import Array, Data, read_data
from mcdrop.errors import DataFileError, OptionError
from mcdrop.loading import load
from mcdrop.mcdropout import MCDropout

__all__ = [
    "check_places",
    "loaded_model",
    "manifest_of",
    "model_data",
    "refuse_overwriting",
    "targets",
]

_NOT_IN_NUMPY: Final = {"bfloat16": "float32"}


def loaded_model(checkpoint: str, *, device: str | None, allow: Collection[str] | None) -> MCDropout:
    """The model of a checkpoint; packages that are allowed may lie in the working directory.

    Raises:
        OptionError: If there is no such device.
        CheckpointError: If it cannot be loaded.
    """
    if allow:
        look_here()
    return load(checkpoint, device=device, allow=allow or ())


def manifest_of(mc: MCDropout) -> Manifest:
    """What the checkpoint of a loaded model says."""
    if mc.manifest is None:
        raise OptionError("wanted a model that was loaded from a checkpoint")
    return mc.manifest


def model_data(manifest: Manifest, path: Path, *, target: str, aside: str | None = None) -> Data:
    """The rows of a data file, in the shapes and dtypes that the model takes.

    Args:
        manifest: Says which.
        path: The data file.
        target: Name of the outcomes.
        aside: A column for something else, such as groups.

    Raises:
        DataFileError: If they do not fit.
    """
    columns = {spec.name: spec.columns for spec in manifest.inputs if spec.columns is not None}
    names, width = [spec.name for spec in manifest.inputs], _width(manifest)
    data = read_data(path, names, columns=columns, target=target, aside=aside, width=width)
    inputs = {spec.name: _fitted(spec, data) for spec in manifest.inputs}
    return replace(data, inputs=inputs)


def targets(manifest: Manifest, data: Data, *, target: str) -> Array:
    """The outcomes as numbers; names of classes become their indices, also names that are numbers (1, 2, 3).

    True and False, as tables write them, are 1 and 0 where they are no names.

    Raises:
        DataFileError: If there are none, or a class is unknown.
    """
    y, names = data.outcomes(target), tuple(manifest.classes or ())
    if y.dtype.kind == "U" and set(y.ravel().tolist()) <= {"True", "False"} - set(names):
        y = (y == "True").astype(np.int64)
    known = {name: index for index, name in enumerate(names)} if y.dtype.kind == "U" else _numbered(manifest)
    if not known and y.dtype.kind != "U":
        return y
    unknown = sorted(set(y.ravel().tolist()) - set(known))
    if unknown:
        classes = ", ".join(names) or "none by name"
        row = np.argwhere(y == unknown[0])[0][0]
        raise DataFileError(
            f"{target} must be one of the model's classes ({classes}), got {unknown[0]!r} in row {row}"
        )
    indices = [known[name] for name in y.ravel().tolist()]
    return np.array(indices, np.int64).reshape(y.shape)


def _numbered(manifest: Manifest) -> dict[Any, int]:
    """Classes by the number that each is named after; empty if one is not, or labels are no class."""
    names = manifest.classes or ()
    if manifest.task not in {"classification", "binary"} or not all(name.isdecimal() for name in names):
        return {}
    return {int(name): index for index, name in enumerate(names)}


def refuse_overwriting(source: Path, *outputs: Path | None) -> None:
    """See that no output is the file that is read.

    Raises:
        OptionError: If one is.
    """
    for output in outputs:
        if output is not None and output.exists() and output.samefile(source):
            raise OptionError(f"{output} is the file that is read; write to another one")


def check_places(*outputs: Path | None) -> None:
    """See that every output has a directory to lie in, before the work is done.

    Raises:
        DataFileError: If one has not.
    """
    for output in outputs:
        if output is not None and not output.parent.is_dir():
            raise DataFileError(f"{output} cannot be written: there is no directory {output.parent}")


def _width(manifest: Manifest) -> int | None:
    """How many columns of a table the only input takes."""
    spec, *others = manifest.inputs
    return None if others or -1 in spec.shape else int(np.prod(spec.shape))


def _fitted(spec: InputSpec, data: Data) -> Array:
    return _cast(spec, _shaped(spec, data))


def _shaped(spec: InputSpec, data: Data) -> Array:
    """Columns of a table become the shape of one row, where they have as many numbers."""
    values = data.inputs[spec.name]
    fixed = -1 not in spec.shape
    if fixed and values.ndim <= 2 and values.size == len(values) * int(np.prod(spec.shape)):
        return values.reshape(len(values), *spec.shape)
    came = values.shape[1:]
    if len(came) != len(spec.shape) or any(w not in (-1, c) for w, c in zip(spec.shape, came, strict=True)):
        wanted = _shape_text(spec.shape)
        made = "" if spec.name in data.names else f" (the file has {', '.join(map(repr, data.names))})"
        raise DataFileError(f"{spec.name} must have shape {wanted}, got {_shape_text(came)}{made}")
    return values


def _shape_text(shape: Collection[int]) -> str:
    return f"({', '.join(['N', *('any' if size < 0 else str(size) for size in shape)])})"


def _cast(spec: InputSpec, values: Array) -> Array:
    dtype = np.dtype(_NOT_IN_NUMPY.get(spec.dtype, spec.dtype))
    if dtype.kind != "f" and bool((values != values.astype(dtype)).any()):
        raise DataFileError(f"{spec.name} must hold values of type {spec.dtype}, got others")
    return values.astype(dtype)
