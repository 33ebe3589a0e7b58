"""Which checkpoints a directory holds, and loading them: all, or none."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import mcdrop
from mcdrop.errors import CheckpointError
from mcdrop_service.execution.checkpoint_model import CheckpointModel

__all__ = ["load_models"]

MANIFEST = "mcdrop.json"
WEIGHTS = "model.safetensors"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}")


def load_models(
    directory: Path, *, names: Sequence[str] = (), allow: Sequence[str] = (), device: str | None = None
) -> Mapping[str, CheckpointModel]:
    """Every checkpoint of a directory, loaded.

    Args:
        directory: Holds one directory per model, or is a checkpoint itself.
        names: Those to load; all of them when empty.
        allow: Packages whose factories may be called to build a model.
        device: Where the models run; the library's own choice when None.

    Returns:
        The loaded models by name: in the order of `names`, else in alphabetical order.

    Raises:
        CheckpointError: If the directory holds no checkpoint, a name is not in it, or one is damaged.
    """
    found = _checkpoints(directory)
    if not found:
        raise CheckpointError(
            f"{directory} holds no checkpoint: wanted {MANIFEST} in it, or in a directory in it"
        )
    missing = [name for name in names if name not in found]
    if missing:
        raise CheckpointError(
            f"{directory} has no checkpoint {missing[0]!r}; it has {', '.join(sorted(found))}"
        )
    return {
        name: CheckpointModel.of(name, mcdrop.load(found[name], allow=tuple(allow), device=device))
        for name in names or sorted(found)
    }


def _checkpoints(directory: Path) -> dict[str, Path]:
    if not directory.is_dir():
        raise CheckpointError(f"{directory} is no directory; a directory of checkpoints is wanted")
    if _is_checkpoint(directory):
        return {directory.resolve().name: directory}
    return {
        place.name: place
        for place in directory.iterdir()
        if NAME.fullmatch(place.name) and place.is_dir() and _is_checkpoint(place)
    }


def _is_checkpoint(place: Path) -> bool:
    """Whether a directory is meant as one: a lost manifest must be an error, not a model less."""
    return any((version / file).exists() for version in _versions(place) for file in (MANIFEST, WEIGHTS))


def _versions(place: Path) -> list[Path]:
    return [place, *(child for child in place.iterdir() if child.name.isdigit())]
