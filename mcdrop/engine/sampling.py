"""Sampling: rows in tiles, samples in blocks of 16, moments as they come.

Rows are tiled before samples, so that the part of the network before the first site runs once for each row of
a tile, and so that quantiles of a tile are exact even where its samples are dropped afterwards.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from typing import Final, TypeVar, cast

import torch
from torch import Tensor

from mcdrop.engine.block import Block
from mcdrop.engine.failures import first_line
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.inputs import Call
from mcdrop.engine.lines import Lines
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.network import Network
from mcdrop.errors import TooLittleMemoryError
from mcdrop.progress import Progress

__all__ = [
    "Draw",
    "Plan",
    "block_groups",
    "block_outputs",
    "group_outputs",
    "in_tiles",
    "sample_call",
    "tile_call",
    "tiles",
]

_FEW: Final = BLOCK // 8
"""Samples that take less than a pass of their own would cost, and less memory than the margin of a budget."""

_T = TypeVar("_T")


@dataclass(frozen=True)
class Plan:
    """How one network is sampled.

    Attributes:
        network: What is replayed.
        strategy: Name of the strategy.
        rows: Rows of a tile.
        blocks: Blocks of 16 samples that run together.
        exact: Whether tiles are padded to `rows`, so that every block has the same shape whatever it holds.
        fallback: What runs where the strategy fails.
        lines: Of the network; None where every block is run in the ordinary way.
    """

    network: Network
    strategy: str
    rows: int
    blocks: int = 1
    exact: bool = False
    fallback: Fallback = field(default_factory=Fallback)
    lines: Lines | None = None


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

    def take(self, rows: Sequence[int]) -> "Draw":
        """The same masks for some of the rows."""
        return self if self.row_ids is None else replace(self, row_ids=[self.row_ids[row] for row in rows])


def tiles(plan: Plan, call: Call) -> Iterator[slice]:
    """The rows of each tile of a call."""
    for start in range(0, call.rows, plan.rows):
        yield slice(start, min(start + plan.rows, call.rows))


def in_tiles(
    plan: Plan, call: Call, run: Callable[[Plan, slice], _T], progress: Progress
) -> Iterator[tuple[slice, _T]]:
    """What `run` gives for each tile of a call; where the device has no memory for one, for each half of it.

    Args:
        plan: How; the size of the tiles.
        call: All rows.
        run: Computes the rows of one tile.
        progress: Is set back when a tile must be computed again.

    Raises:
        TooLittleMemoryError: If a tile that cannot be halved does not fit.
    """
    start = 0
    while start < call.rows:
        rows, done = slice(start, min(start + plan.rows, call.rows)), progress.done
        result, problem = _attempt(run, plan, rows)
        if problem is None:
            yield rows, cast(_T, result)
            start = rows.stop
        else:
            plan, progress.done = _halved(plan, rows.stop - rows.start, problem), done


def _attempt(run: Callable[[Plan, slice], _T], plan: Plan, rows: slice) -> tuple[_T | None, str | None]:
    """A result, or what the device says it has no memory for."""
    try:
        return run(plan, rows), None
    except torch.OutOfMemoryError as error:  # gone on return, and with it the tensors that it refers to
        return None, first_line(error)


def _halved(plan: Plan, rows: int, problem: str) -> Plan:
    """Half the rows, then half the blocks. The blocks of exact mode are never another size."""
    if plan.network.device.type == "cuda":
        torch.cuda.empty_cache()
    if plan.exact or (rows == 1 and plan.blocks == 1):
        what = f"a block of exact mode, {plan.rows} rows" if plan.exact else "one row"
        raise TooLittleMemoryError(
            f"{what} x {BLOCK} samples, does not fit in the memory of {plan.network.device}: {problem}; free "
            "some of it, use a smaller dtype, or choose another device"
        )
    return replace(plan, rows=rows // 2) if rows > 1 else replace(plan, rows=1, blocks=plan.blocks // 2)


def tile_call(plan: Plan, call: Call, rows: slice) -> Call:
    """The inputs of one tile, padded with rows of zeros if the plan is exact."""
    part = call.take(rows)
    return part.pad(plan.rows) if plan.exact else part


def block_groups(plan: Plan, n_samples: int) -> Iterator[range]:
    """The blocks that run together, for S samples; a last one that is cut to a few joins those before it."""
    blocks = math.ceil(n_samples / BLOCK)
    starts = list(range(0, blocks, plan.blocks))
    if len(starts) > 1 and n_samples - starts[-1] * BLOCK <= _FEW and not plan.exact:
        starts.pop()
    for first, end in pairwise([*starts, blocks]):
        yield range(first, end)


def group_outputs(plan: Plan, tile: Call, draw: Draw, rows: slice, group: range) -> list[Tensor]:
    """Samples of some blocks of one tile: tensors (16 x blocks, rows, ...), cut at S."""
    keys = [_padded(draw.keys(block, rows), tile.rows) for block in group]
    left = draw.n_samples - group.start * BLOCK
    return [samples[:left] for samples in block_outputs(plan, tile, keys, draw.rng, most=left)]


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
    whole = BLOCK * len(keys)
    samples = whole if plan.exact or most is None else min(whole, most)
    block = Block(plan.network, tile, keys, rng, samples)
    with plan.network.inference():
        if plan.lines is None:
            return plan.fallback.run(plan.strategy, block, block.draws())
        return plan.lines.run(plan.strategy, plan.fallback, block)


def sample_call(plan: Plan, call: Call, draw: Draw) -> list[Tensor]:
    """All samples of all rows: tensors (S, N, ...), one for each output of the network."""
    parts = in_tiles(plan, call, partial(_sample_tile, call=call, draw=draw), Progress())
    joined = zip(*(found for _, found in parts), strict=True)
    return [tensors[0] if len(tensors) == 1 else torch.cat(tensors, 1) for tensors in joined]


def _sample_tile(plan: Plan, rows: slice, *, call: Call, draw: Draw) -> list[Tensor]:
    """All samples of one tile: tensors (S, rows, ...)."""
    tile = tile_call(plan, call, rows)
    groups = [group_outputs(plan, tile, draw, rows, group) for group in block_groups(plan, draw.n_samples)]
    return [torch.cat(parts)[:, : call.kept(rows)] for parts in zip(*groups, strict=True)]


def _padded(keys: list[BlockKey], rows: int) -> list[BlockKey]:
    return keys if len(keys) == 1 else keys + [keys[-1]] * (rows - len(keys))
