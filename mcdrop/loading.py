"""`load`: a checkpoint becomes the `MCDropout` that was saved."""

import os
from collections.abc import Collection
from os import PathLike

import torch

from mcdrop.checkpoint import read_checkpoint
from mcdrop.mcdropout import MCDropout

__all__ = ["load"]


def load(
    path: str | PathLike[str],
    *,
    allow: Collection[str] = (),
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> MCDropout:
    """Load a checkpoint.

    Args:
        path: Its directory, such as `models/digits`; `models/digits@1` pins a version.
        allow: Top-level packages whose factories may be called to build the model.
        device: Where the model runs; by default the environment's MCDROP_DEVICE, or the CPU.
        dtype: Of its parameters, if not the saved one.

    Returns:
        The model with the task, defaults and exact mode that the checkpoint names.

    Raises:
        CheckpointError: If anything in it is missing, was changed, is unsafe, or does not fit together.
    """
    checkpoint = read_checkpoint(path, allow=allow)
    checkpoint.model.to(device or os.environ.get("MCDROP_DEVICE", "cpu"), dtype)
    return MCDropout.of_checkpoint(checkpoint)
