"""Sampling: rows in tiles, samples in blocks of 16, moments as they come.

Rows are tiled before samples, so that the part of the network before the first site runs once for each row of
a tile, and so that quantiles of a tile are exact even where its samples are dropped afterwards.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcdrop.inputs import Call
from mcdrop.masks import BLOCK, BlockKey
from mcdrop.network import Network
from mcdrop.replay import BlockDraws
from mcdrop.strategies import STRATEGIES

__all__ = ["Draw", "Plan", "block_outputs", "sample_tile", "tiles"]


@dataclass(frozen=True)
class Plan:
    """How one network is sampled.

    Attributes:
        network: What is replayed.
        strategy: Name of the strategy.
        rows: Rows of a tile.
        blocks: Blocks of 16 samples that run together.
        exact: Whether tiles are padded to `rows`, so that every block has the same shape whatever it holds.
    """

    network: Network
    strategy: str
    rows: int
    blocks: int = 1
    exact: bool = False


@dataclass(frozen=True)
class Draw:
    """Which masks a call uses.

    Attributes:
        seed: Of the masks.
        n_samples: S.
        rng: Name of the generator.
        row_ids: (N,) ids of the rows if each has its own masks, None if they share them.
    """

    seed: int
    n_samples: int
    rng: str
    row_ids: Sequence[int] | None

    def keys(self, block: int, rows: slice) -> list[BlockKey]:
        """Keys of the masks of one block for some rows."""
        ids = [0] if self.row_ids is None else self.row_ids[rows]
        return [BlockKey(self.seed, row, block) for row in ids]


def tiles(plan: Plan, call: Call) -> Iterator[slice]:
    """The rows of each tile of a call."""
    for start in range(0, call.rows, plan.rows):
        yield slice(start, min(start + plan.rows, call.rows))


def tile_call(plan: Plan, call: Call, rows: slice) -> Call:
    """The inputs of one tile, padded with rows of zeros if the plan is exact."""
    part = call.take(rows)
    return part.pad(plan.rows) if plan.exact else part


def tile_outputs(plan: Plan, tile: Call, draw: Draw, rows: slice) -> Iterator[list[Tensor]]:
    """Samples of one tile, some blocks at a time: tensors (16 x blocks, rows, ...), cut at S."""
    blocks = math.ceil(draw.n_samples / BLOCK)
    for first in range(0, blocks, plan.blocks):
        group = range(first, min(first + plan.blocks, blocks))
        keys = [_padded(draw.keys(block, rows), tile.rows) for block in group]
        left = draw.n_samples - first * BLOCK
        yield [samples[:left] for samples in block_outputs(plan, tile, keys, draw.rng, most=left)]


def block_outputs(
    plan: Plan, tile: Call, keys: Sequence[Sequence[BlockKey]], rng: str, *, most: int | None = None
) -> list[Tensor]:
    """Samples of some blocks of one tile: one tensor (samples, rows, ...) for each output of the network.

    Args:
        plan: How.
        tile: The rows.
        keys: For each block: a key for each row, or a single one for all.
        rng: Name of the generator.
        most: How many samples are wanted; an exact plan computes whole blocks all the same.
    """
    network = plan.network
    draws = BlockDraws(network.sites, keys, rng, network.cache)
    whole = BLOCK * len(keys)
    samples = whole if plan.exact or most is None else min(whole, most)
    with torch.inference_mode():
        return STRATEGIES[plan.strategy](network, tile, draws, samples)


def sample_tile(plan: Plan, call: Call, draw: Draw, rows: slice) -> list[Tensor]:
    """All samples of one tile: tensors (S, rows, ...)."""
    groups = list(tile_outputs(plan, tile_call(plan, call, rows), draw, rows))
    count = rows.stop - rows.start
    return [torch.cat(parts)[:, :count] for parts in zip(*groups, strict=True)]


def _padded(keys: list[BlockKey], rows: int) -> list[BlockKey]:
    return keys if len(keys) == 1 else keys + [keys[-1]] * (rows - len(keys))
