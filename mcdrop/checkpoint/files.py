"""Files: a checkpoint on the disk, read only as what it was written, and written whole or not at all.

Each file is read once into memory, its hash is taken of these bytes and the same bytes are used, so that a
file which changes in between makes no difference. Links are not followed. Nothing is unpickled, fetched or
imported, but for a factory whose package the operator allowed.
"""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Final

from torch import nn

from mcdrop.checkpoint.architecture import OUTLINED, build, build_outline
from mcdrop.checkpoint.manifest import (
    MANIFEST_FILE,
    README_FILE,
    WEIGHTS_FILE,
    Manifest,
    manifest_bytes,
    parse_manifest,
)
from mcdrop.checkpoint.stored_rates import recorded_rates, with_recorded_rates
from mcdrop.checkpoint.versions import expected_version, resolve_version
from mcdrop.checkpoint.weights import (
    Weights,
    check_fit,
    load_into,
    module_weights,
    parse_weights,
    weights_bytes,
)
from mcdrop.errors import CheckpointError

__all__ = ["Checkpoint", "read_checkpoint", "write_checkpoint"]

_MAX_MANIFEST_BYTES: Final = 2**22
_MAX_FILE_BYTES: Final = 2**35

_READ_FLAGS: Final = (
    os.O_RDONLY
    | getattr(os, "O_NOFOLLOW", 0)  # a link that took the file's place after it was looked at
    | getattr(os, "O_NONBLOCK", 0)  # a pipe would wait for a writer for ever
    | getattr(os, "O_BINARY", 0)
)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that was read.

    Attributes:
        path: The directory of its version.
        manifest: What it says about itself.
        digest: `sha256:` and the hash of its `mcdrop.json`, which holds the hashes of the other files.
        model: In eval mode, on the CPU, with its weights.
    """

    path: Path
    manifest: Manifest
    digest: str
    model: nn.Module


def read_checkpoint(path: str | PathLike[str], *, allow: Collection[str] = ()) -> Checkpoint:
    """Read a checkpoint and build its model.

    Args:
        path: Its directory; `@` and a number pin a version, otherwise the highest is read.
        allow: Top-level packages whose factories may be called to build the model.

    Raises:
        CheckpointError: If anything is missing, was changed, is unsafe, or does not fit together.
    """
    directory = resolve_version(path)
    with _named(directory):
        text = _read_regular(directory / MANIFEST_FILE, limit=_MAX_MANIFEST_BYTES)
        manifest = parse_manifest(text)
        _check_version(manifest, directory)
        files = _verified_files(directory, manifest.files)
        model = _model(manifest, files[WEIGHTS_FILE], allow)
    return Checkpoint(directory, manifest, f"sha256:{_sha256(text)}", model)


def write_checkpoint(
    path: str | PathLike[str], manifest: Manifest, model: nn.Module, *, readme: str, overwrite: bool = False
) -> Path:
    """Write a checkpoint: all files to a directory beside it first, which then takes its name.

    Args:
        path: A new directory; named by a number if it is a version beyond the first.
        manifest: Its `files` and `aliases` are filled in here.
        model: Whose weights are saved.
        readme: The model card, in Markdown.
        overwrite: Replace the checkpoint in an existing directory. Other files in it stay. Who reads while
            the files change places sees hashes that do not match, and never a mixture.

    Returns:
        The directory.

    Raises:
        CheckpointError: If the path exists, cannot be written, the architecture does not fit, or the model
            holds what cannot be saved.
    """
    target = Path(path)
    _check_version(manifest, target)
    if not overwrite and (target.exists() or target.is_symlink()):
        raise CheckpointError(
            f"{target} exists; choose another path, or overwrite it (overwrite=True, --overwrite)"
        )
    contents = _contents(manifest, model, readme)
    try:
        _put_in_place(contents, target)
    except OSError as error:
        raise CheckpointError(f"{target} cannot be written: {error}") from error
    return target


@contextmanager
def _named(directory: Path) -> Iterator[None]:
    try:
        yield
    except CheckpointError as error:
        raise CheckpointError(f"{directory}: {error}") from error


def _check_version(manifest: Manifest, directory: Path) -> None:
    expected = expected_version(directory)
    if manifest.version != expected:
        rule = "a version lies in a directory named by its number, version 1 in any other"
        raise CheckpointError(
            f"the version in {directory.name} must be {expected}, got {manifest.version}; {rule}"
        )


def _read_regular(path: Path, *, limit: int) -> bytes:
    if path.is_symlink():
        raise CheckpointError(f"{path.name} is a link; a checkpoint holds its own files")
    try:
        with open(os.open(path, _READ_FLAGS), "rb") as file:  # noqa: PTH123 - by descriptor
            return file.read(_regular_size(os.fstat(file.fileno()), path.name, limit))
    except FileNotFoundError as error:
        raise CheckpointError(f"{path.name} is missing") from error
    except OSError as error:
        raise CheckpointError(f"{path.name} cannot be read: {error.strerror}") from error


def _regular_size(status: os.stat_result, name: str, limit: int) -> int:
    if not stat.S_ISREG(status.st_mode):
        raise CheckpointError(f"{name} must be a plain file")
    if status.st_size > limit:
        raise CheckpointError(f"{name} must have at most {limit} bytes, got {status.st_size}")
    return status.st_size


def _verified_files(directory: Path, hashes: Mapping[str, str]) -> dict[str, bytes]:
    if WEIGHTS_FILE not in hashes:
        raise CheckpointError(f"files must list {WEIGHTS_FILE}, got {sorted(hashes)}")
    return {name: _verified(directory / name, wanted) for name, wanted in hashes.items()}


def _verified(path: Path, wanted: str) -> bytes:
    contents = _read_regular(path, limit=_MAX_FILE_BYTES)
    came = _sha256(contents)
    if came != wanted:
        raise CheckpointError(f"{path.name} was changed: its sha256 must be {wanted}, got {came}")
    return contents


def _sha256(contents: bytes) -> str:
    return hashlib.sha256(contents).hexdigest()


def _model(manifest: Manifest, contents: bytes, allow: Collection[str]) -> nn.Module:
    weights = parse_weights(contents, manifest.aliases)
    # Before the real one takes memory: arguments can claim any size, the file has what it has.
    _check_outline(manifest, weights)
    model = build(manifest.architecture, allow)
    load_into(model, weights)
    whole = manifest.architecture.source not in OUTLINED  # else only what differs is written down
    model = with_recorded_rates(model, manifest.rates, all_of_them=whole)
    if manifest.tuning:
        vars(model)["tuned_rates"] = manifest.tuning
    return model.eval()


def _check_outline(manifest: Manifest, weights: Weights) -> None:
    outline = build_outline(manifest.architecture)
    if outline is not None:
        check_fit(outline, weights.by_name())


def _contents(manifest: Manifest, model: nn.Module, readme: str) -> dict[str, bytes]:
    weights = module_weights(model)
    _check_outline(manifest, weights)
    contents = {README_FILE: readme.encode(), WEIGHTS_FILE: weights_bytes(weights)}
    found = {
        "files": {WEIGHTS_FILE: _sha256(contents[WEIGHTS_FILE])},
        "aliases": weights.aliases,
        "rates": recorded_rates(model, manifest.architecture),
        "tuning": manifest.tuning or getattr(model, "tuned_rates", {}),
    }
    # The manifest comes last: where files are replaced one by one, it is what makes the others count.
    return {**contents, MANIFEST_FILE: manifest_bytes(manifest.model_copy(update=found))}


def _put_in_place(contents: Mapping[str, bytes], target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    beside = target.parent / f".{target.name}.{secrets.token_hex(8)}"
    beside.mkdir()
    try:
        for name, text in contents.items():
            _write_durably(beside / name, text)
        _move(beside, target, names=contents)
        _sync_directory(target.parent)
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move(beside: Path, target: Path, *, names: Collection[str]) -> None:
    if not target.exists():
        beside.rename(target)
        return
    for name in names:
        (beside / name).replace(target / name)
    _sync_directory(target)


def _write_durably(path: Path, contents: bytes) -> None:
    with path.open("xb") as file:
        file.write(contents)
        file.flush()
        os.fsync(file.fileno())


def _sync_directory(path: Path) -> None:
    """Make a rename outlast a power cut, where the system can (Windows cannot open directories)."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
