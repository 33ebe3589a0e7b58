"""Versions: which directory a path such as `models/digits` or `models/digits@1` means.

Versions are sub-directories named by whole numbers. A checkpoint that lies flat in its directory is version
1, and stays there when `2/` is added beside it. The highest is meant unless one is pinned.
"""

import re
from os import PathLike
from pathlib import Path
from typing import Final

from mcdrop.checkpoint.manifest import MANIFEST_FILE
from mcdrop.errors import CheckpointError

__all__ = ["expected_version", "resolve_version", "versions"]

_NUMBER: Final = re.compile(r"[1-9][0-9]{0,8}")


def resolve_version(path: str | PathLike[str]) -> Path:
    """The directory that holds the version that a path means.

    Args:
        path: A checkpoint's directory, with `@` and a number to pin a version.

    Raises:
        CheckpointError: If there is no such directory or version.
    """
    directory, pinned = _without_pin(Path(path))
    found = versions(directory)
    if not found:
        raise CheckpointError(f"{directory} holds no checkpoint: {MANIFEST_FILE} is missing")
    number = max(found) if pinned is None else pinned
    if number not in found:
        known = ", ".join(map(str, sorted(found)))
        raise CheckpointError(f"{directory} has no version {number}; it has {known}")
    return found[number]


def versions(directory: Path) -> dict[int, Path]:
    """The versions in a checkpoint's directory, by number; empty if it holds none.

    Raises:
        CheckpointError: If it is a file or not there, has version 1 twice, or a version is a link.
    """
    if directory.is_file():
        raise CheckpointError(
            f"{directory} is a file, and a checkpoint is a directory with {MANIFEST_FILE}: mcdrop pack makes "
            "one of weights; mcdrop.load_predictions reads predictions"
        )
    if not directory.is_dir():
        raise CheckpointError(f"there is no checkpoint at {directory}")
    found = {int(child.name): child for child in directory.iterdir() if _NUMBER.fullmatch(child.name)}
    link = next((child for child in found.values() if child.is_symlink()), None)
    if link is not None:
        raise CheckpointError(f"{link} is a link; a version must be a directory of its own")
    if (directory / MANIFEST_FILE).exists():
        if 1 in found:
            raise CheckpointError(f"{directory} has version 1 twice: flat and as 1/; remove one of them")
        found[1] = directory
    return found


def expected_version(directory: Path) -> str:
    """The version that the manifest in a directory must name: that directory's name if a number, else 1."""
    name = directory.absolute().name
    return name if _NUMBER.fullmatch(name) else "1"


def _without_pin(path: Path) -> tuple[Path, int | None]:
    name, at, number = path.name.rpartition("@")
    if not at or path.exists():
        return path, None
    if not name or not _NUMBER.fullmatch(number):
        raise CheckpointError(f"a version is pinned by a whole number, as in models/digits@1, got {path}")
    return path.with_name(name), int(number)
