"""Replayable random numbers for decisions about rows: a pure function of a seed and the row's id."""

from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.shapes import TensorLike, float64, nonnegative

__all__ = ["row_uniforms"]

_STEP: Final = np.uint64(0x9E3779B97F4A7C15)
_FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
_SECOND: Final = np.uint64(0x94D049BB133111EB)


def row_uniforms(row_ids: TensorLike, *, seed: int) -> Tensor:
    """One number in [0, 1) for each row; it does not depend on the other rows or their order.

    Args:
        row_ids: (N,) whole numbers from 0 to 2^53, beyond which float64 skips some.
        seed: From 0 to 2^63 - 1.

    Returns:
        (N,) float64, multiples of 2^-53.

    Raises:
        DomainError: If the seed or an id is negative.

    Source:
        Steele, Lea and Flood 2014, "Fast splittable pseudorandom number generators" (SplitMix64).
    """
    if not 0 <= seed < 2**63:
        raise DomainError(f"seed must be from 0 to 2^63 - 1, got {seed}")
    ids = nonnegative("row_ids", float64("row_ids", row_ids)).cpu().numpy().astype(np.uint64)
    start = _mixed(np.array([seed], dtype=np.uint64))
    bits = _mixed(start + (ids + np.uint64(1)) * _STEP)
    return torch.from_numpy((bits >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(words: NDArray[np.uint64]) -> NDArray[np.uint64]:
    words = (words ^ (words >> np.uint64(30))) * _FIRST  # arrays wrap around modulo 2^64, which is meant
    words = (words ^ (words >> np.uint64(27))) * _SECOND
    mixed: NDArray[np.uint64] = words ^ (words >> np.uint64(31))
    return mixed
