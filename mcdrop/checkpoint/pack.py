"""Packing: the weights in a `.pt` or `.ckpt` file, read once so that they can be saved as a checkpoint.

The only place that unpickles anything, with `weights_only=True` said out loud: it must hold whatever the
environment or a later default says. Before that the archive is looked at (a few kilobytes can stand for
gigabytes), and afterwards the tensors are.
"""

import zipfile
from collections.abc import Mapping
from io import BytesIO
from os import PathLike
from pathlib import Path
from typing import Final

import torch
from torch import Tensor

from mcdrop.checkpoint.weights import check_plain_tensors
from mcdrop.errors import CheckpointError

__all__ = ["MAX_BYTES", "read_state_dict"]

MAX_BYTES: Final = 2**34
"""Of a file to pack, and of all tensors in it."""

_ZIP_START: Final = b"PK\x03\x04"
_ZIP_END: Final = b"PK\x05\x06"
_ZIP_END_BYTES: Final = 22
_LIGHTNING_KEY: Final = "state_dict"


def read_state_dict(
    path: str | PathLike[str], *, key: str | None = None, prefix: str = "", max_bytes: int = MAX_BYTES
) -> dict[str, Tensor]:
    """The tensors of a state dict that `torch.save` wrote.

    Args:
        path: The file; nothing in it is run.
        key: Under which the state dict lies in a larger mapping; by default the mapping itself, or its
            `state_dict` where it has one (Lightning).
        prefix: Of the names, such as `model.`; only tensors that have it are taken, without it.
        max_bytes: Above this the file is refused, and so are tensors that take more than this.

    Raises:
        CheckpointError: If it is another kind of file, compressed, larger than it says, or holds anything but
            dense tensors.
    """
    source = Path(path)
    contents = _contents(source, max_bytes)
    _check_archive(contents, source.name, max_bytes)
    state = _state_dict(_unpickled(contents, source.name), key)
    check_plain_tensors(state)
    tensors = {name: tensor for name, tensor in state.items() if isinstance(tensor, Tensor)}
    _check_sizes(tensors, limit=len(contents))
    return _without_prefix(tensors, prefix)


def _contents(path: Path, max_bytes: int) -> bytes:
    try:
        size = path.stat().st_size
        if size > max_bytes:
            raise CheckpointError(f"{path.name} must have at most {max_bytes} bytes, got {size}")
        return path.read_bytes()
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error


def _check_archive(contents: bytes, name: str, max_bytes: int) -> None:
    # Start and end are where every reader looks first, so that none can see other members than we do.
    at_end = contents[-_ZIP_END_BYTES:].startswith(_ZIP_END)
    if not (contents.startswith(_ZIP_START) and at_end):
        todo = "write it again with torch.save(model.state_dict(), ...) of torch 1.6 or later"
        raise CheckpointError(f"{name} must be a zip archive as torch.save writes it; {todo}")
    try:
        with zipfile.ZipFile(BytesIO(contents)) as archive:
            members = archive.infolist()
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise CheckpointError(f"{name} is a damaged zip archive: {error}") from error
    _check_members(members, name, limit=min(max_bytes, len(contents)))


def _check_members(members: list[zipfile.ZipInfo], name: str, *, limit: int) -> None:
    compressed = next((member for member in members if member.compress_type != zipfile.ZIP_STORED), None)
    if compressed is not None:
        raise CheckpointError(f"{name} holds {compressed.filename!r} compressed, which torch.save never does")
    total = sum(member.file_size for member in members)
    if total > limit:
        raise CheckpointError(f"{name} must hold at most {limit} bytes, and claims to hold {total}")


def _unpickled(contents: bytes, name: str) -> object:
    try:
        unpickled: object = torch.load(BytesIO(contents), map_location="cpu", weights_only=True)
    except Exception as error:
        # A hostile pickle fails in many ways. Torch's text, which tells how to run the code, is left out.
        todo = "save a plain state dict with torch.save(model.state_dict(), ...)"
        raise CheckpointError(f"{name} holds more than tensors, or is damaged; {todo}") from error
    return unpickled


def _state_dict(unpickled: object, key: str | None) -> Mapping[str, object]:
    top = _named_leaves(unpickled, "the file")
    chosen = key or (_LIGHTNING_KEY if _LIGHTNING_KEY in top else None)
    if chosen is None:
        return top
    if chosen not in top:
        raise CheckpointError(f"the file has no {chosen!r}, only: {', '.join(map(repr, top))}")
    return _named_leaves(top[chosen], repr(chosen))


def _named_leaves(value: object, where: str) -> Mapping[str, object]:
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise CheckpointError(f"{where} must hold names and their tensors, got a {type(value).__name__}")
    return value


def _check_sizes(tensors: Mapping[str, Tensor], *, limit: int) -> None:
    """Strides can make one number in the file a tensor of any size, so count what each takes written out."""
    for name, tensor in tensors.items():
        if tensor.nbytes > tensor.untyped_storage().nbytes():
            shape = tuple(tensor.shape)
            raise CheckpointError(f"{name!r} must have a number for each element, got an expanded {shape}")
    total = sum({_memory(tensor): tensor.nbytes for tensor in tensors.values()}.values())
    if total > limit:
        raise CheckpointError(f"the tensors must take at most the file's {limit} bytes, and take {total}")


def _memory(tensor: Tensor) -> object:
    return (tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype)


def _without_prefix(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    kept = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    if not kept:
        some = ", ".join(map(repr, list(tensors)[:3])) or "none at all"
        raise CheckpointError(f"no tensor's name starts with {prefix!r}; there are {some}")
    return kept
