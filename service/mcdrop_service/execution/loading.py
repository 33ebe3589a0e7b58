"""Loading checkpoints: whatever of a repository needs torch."""

from collections.abc import Collection
from pathlib import Path

import torch

import mcdrop
from mcdrop.checkpoint import versions
from mcdrop_service.execution.checkpoint_model import CheckpointModel

__all__ = ["load_versions", "use_threads"]


def load_versions(
    name: str,
    place: Path,
    pinned: Collection[str],
    *,
    allow: Collection[str],
    device: str | None,
    mask_bytes: int,
) -> list[CheckpointModel]:
    """The versions of a model.

    Args:
        name: Its name in the URL.
        place: Its directory.
        pinned: Those that are wanted; all when empty.
        allow: Packages whose factories may be called to build it.
        device: Where it runs; the library's own choice when None.
        mask_bytes: What the masks that each keeps may take.

    Raises:
        CheckpointError: If one is damaged, or there is none.
    """
    numbers = pinned or [str(number) for number in sorted(versions(place))] or [""]
    places = [f"{place}@{number}" if number else place for number in numbers]
    return [
        CheckpointModel.of(name, mcdrop.load(each, allow=allow, device=device, mask_cache=mask_bytes))
        for each in places
    ]


def use_threads(threads: int) -> None:
    """Let one forward pass of this process use so many threads."""
    torch.set_num_threads(threads)
