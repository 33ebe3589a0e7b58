"""Tensors and the facts about them in one `.npz` file: arrays and JSON, nothing pickled."""

import json
import zlib
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, Final
from zipfile import BadZipFile, is_zipfile

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.errors import DataFileError

__all__ = ["DAMAGE", "as_array", "read_archive", "whole_archive", "write_archive"]

DAMAGE: Final = (KeyError, TypeError, ValueError, RuntimeError, EOFError, OSError, BadZipFile, zlib.error)
"""What reading a file that is damaged, or of another kind, may raise."""

_FORMAT: Final = 1
_FACTS: Final = "facts"


def as_array(tensor: Tensor) -> NDArray[Any]:
    """A tensor as an array; bfloat16, which NumPy lacks, as float32."""
    values = tensor.to(torch.float32) if tensor.dtype is torch.bfloat16 else tensor
    array: NDArray[Any] = values.numpy(force=True)
    return array


def write_archive(path: str | PathLike[str], tensors: Mapping[str, Tensor], facts: Mapping[str, Any]) -> None:
    """Write a file, whole or not at all.

    Args:
        path: The file, which must not exist.
        tensors: By name; their dtypes are kept.
        facts: What JSON can hold.

    Raises:
        DataFileError: If it exists, its name does not end in `.npz`, or it cannot be written.
    """
    target = Path(path)
    if target.suffix != ".npz":
        raise DataFileError(f"predictions are saved as .npz, got {target.name!r}")
    if target.exists():
        raise DataFileError(f"{target} exists; choose another name, or delete it first")
    rounded = [name for name, tensor in tensors.items() if tensor.dtype is torch.bfloat16]
    described = json.dumps({**facts, "format": _FORMAT, "bfloat16": rounded, "tensors": sorted(tensors)})
    arrays = {name: as_array(tensor) for name, tensor in tensors.items()}
    try:
        _write_whole(target, {_FACTS: np.array(described), **arrays})
    except OSError as error:
        raise DataFileError(f"{target} cannot be written: {error.strerror}") from error


def read_archive(path: str | PathLike[str]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors and facts of a file that `write_archive` wrote.

    Raises:
        ValueError: If its format is another one, or arrays are missing.
        Exception: One of `DAMAGE` if it is damaged.
    """
    with Path(path).open("rb") as raw, np.load(whole_archive(raw), allow_pickle=False) as file:
        facts = json.loads(str(file[_FACTS]))
        if facts["format"] != _FORMAT:
            raise ValueError(f"format {facts['format']!r}, wanted {_FORMAT}")
        tensors = {name: torch.from_numpy(file[name]) for name in file.files if name != _FACTS}
    if sorted(tensors) != facts.get("tensors", sorted(tensors)):
        raise ValueError(f"arrays {sorted(tensors)}, wanted {facts['tensors']}")
    rounded = {name: tensors[name].to(torch.bfloat16) for name in facts["bfloat16"]}
    return {**tensors, **rounded}, facts


def whole_archive(stream: BinaryIO) -> BinaryIO:
    """The stream, if it is an archive: of another file NumPy says that it could be unpickled.

    Raises:
        BadZipFile: If it is none.
    """
    if not is_zipfile(stream):
        raise BadZipFile("it is no archive of arrays, or its end is missing")
    stream.seek(0)
    return stream


def _write_whole(target: Path, arrays: Mapping[str, Any]) -> None:
    partial = target.with_name(f".{target.name}.partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, **arrays)
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)
