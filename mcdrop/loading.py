"""`load`: a checkpoint becomes the `MCDropout` that was saved."""

import os
from collections.abc import Collection
from os import PathLike

import torch

from mcdrop.checkpoint import read_checkpoint
from mcdrop.engine.maskcache import MASK_BYTES
from mcdrop.errors import OptionError
from mcdrop.mcdropout import MCDropout

__all__ = ["load", "usable_device"]


def load(
    path: str | PathLike[str],
    *,
    allow: Collection[str] = (),
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
    mask_cache: int = MASK_BYTES,
) -> MCDropout:
    """Load a checkpoint.

    Args:
        path: Its directory, such as `models/digits`; `models/digits@1` pins a version.
        allow: Top-level packages whose factories may be called to build the model.
        device: Where the model runs; by default the environment's MCDROP_DEVICE, or the CPU.
        dtype: Of its parameters, if not the saved one.
        mask_cache: Bytes of masks that are kept for seeds that come again, 64 MiB by default; 0 keeps none.

    Returns:
        The model with the task, defaults and exact mode that the checkpoint names.

    Raises:
        OptionError: If there is no such device here.
        DomainError: If `mask_cache` is no number of bytes.
        CheckpointError: If anything in it is missing, was changed, is unsafe, or does not fit together.
    """
    place = usable_device(device or os.environ.get("MCDROP_DEVICE", "cpu"))
    checkpoint = read_checkpoint(path, allow=allow)
    checkpoint.model.to(place, dtype)
    return MCDropout.of_checkpoint(checkpoint, mask_cache=mask_cache)


def usable_device(device: str | torch.device) -> torch.device:
    """A device that tensors can be put on.

    Args:
        device: Its name, such as `cuda:1`.

    Raises:
        OptionError: If there is no such device here, or torch was built without it.
    """
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise OptionError(f"the device {str(device)!r} cannot be used: {reason}") from error
