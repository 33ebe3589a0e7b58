"""Made-up rows, to look at a network with: the same on every machine."""

from dataclasses import replace

import torch
from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.philox import StreamKey, words

__all__ = ["probe_inputs"]


def probe_inputs(example: Call, rows: int, trial: int) -> Call:
    """Rows like those of `example`: floating inputs uniform on [-1, 1], equal everywhere; others repeated."""
    repeated = example.take(torch.arange(rows, device="cpu") % example.rows)
    leaves = tuple(_probe_leaf(leaf, index, trial) for index, leaf in enumerate(repeated.leaves))
    return replace(repeated, leaves=leaves)


def _probe_leaf(leaf: object, index: int, trial: int) -> object:
    if not isinstance(leaf, Tensor) or not leaf.is_floating_point():
        return leaf
    count = -(-leaf.numel() // 4) * 4
    drawn = words(StreamKey(trial, index, 0, 0), count)[: leaf.numel()]
    # as many digits as a float64 has: products of shorter numbers are exact, and show no order of additions
    bits = torch.from_numpy((drawn >> 11).astype("int64"))
    return (bits.to(torch.float64) * 2.0**-52 - 1).reshape(leaf.shape).to(leaf.device, leaf.dtype)
