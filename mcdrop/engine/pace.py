"""Pace: how many rows and samples run together, and by which of the strategies that agree."""

import math
import operator
import time
from typing import Final

import torch

from mcdrop.engine.failures import reason
from mcdrop.engine.fallback import Fallback
from mcdrop.engine.footprint import Footprint
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.network import Network
from mcdrop.engine.sampling import Plan, block_outputs
from mcdrop.engine.verification import Verification

__all__ = ["FEW_ROWS", "MOST_ROWS", "SMALL", "fastest", "tile_size"]

_TILE_BYTES: Final = {"cpu": 2**23, "cuda": 2**28}
"""Size of the largest tensor after the first site, over a tile: on a CPU what stays in its cache."""
_PREFIX_BYTES: Final = {"cpu": 2**26, "cuda": 2**30}
"""The same before it."""
_LEAST_ROWS: Final = 2
_MOST_CELLS: Final = 2**16 - 1
"""Rows x samples: attention on CUDA starts a block of threads for each, and no more along an axis."""
MOST_ROWS: Final = {"cpu": 64, "cuda": _MOST_CELLS // BLOCK}
_MOST_BLOCKS: Final = 8
FEW_ROWS: Final = 3
"""Up to so many rows what a call costs counts for more than what it computes."""
SMALL: Final = 2**16
"""Bytes of the largest tensor of one row and sample up to which a strategy is timed on whole blocks. Beyond,
that would take longer than all else that is done before the first answer, and the times of the verification
do."""
_CLEARLY: Final = 0.75
"""Of the time of the first that agrees: what another must take on two samples to be used in its place."""
_TIMINGS: Final = 5


def tile_size(size: Footprint, rows: int, strategy: str, device: torch.device) -> tuple[int, int]:
    """Rows and blocks of a tile: as many rows as stay in the cache, then blocks if all rows do."""
    kind = "cuda" if device.type == "cuda" else "cpu"
    block_bytes = size.suffix * (1 if strategy == "loop" else BLOCK)  # what is in memory at once
    cells = max(_TILE_BYTES[kind] // block_bytes, 1)
    most = min(MOST_ROWS[kind], max(_PREFIX_BYTES[kind] // size.prefix, 1))
    tile = min(rows, max(cells, _LEAST_ROWS), most)
    # a few rows make small products, which gain from being joined as long as they stay in the cache
    room = _TILE_BYTES[kind] if tile <= FEW_ROWS else _TILE_BYTES[kind] // 4
    return tile, min(max(room // (block_bytes * tile), 1), _MOST_CELLS // (BLOCK * tile), _MOST_BLOCKS)


def fastest(
    network: Network, rows: Call, verification: Verification | None, size: Footprint, fallback: Fallback
) -> str | None:
    """Of the strategies that agree, the fastest for so many rows; None if it is not known which agree.

    One that fails on rows on which another runs is noted in `fallback`.
    """
    if verification is None:
        return None
    agreeing = verification.agreeing()
    if size.suffix > SMALL or verification.strategy == "loop":
        seconds = verification.seconds
        first = verification.strategy
        return min(agreeing, key=lambda name: seconds[name] * (_CLEARLY if name == first else 1))
    trial = Fallback()
    tiles = [tile_size(size, rows.rows, name, network.device)[0] for name in agreeing]
    plans = [Plan(network, name, tile, fallback=trial) for name, tile in zip(agreeing, tiles, strict=True)]
    turns = [[_seconds_per_row(plan, rows) for plan in plans] for _ in range(_TIMINGS)]
    # in turns, and the least of each: what else the machine does only ever adds
    timed = zip(map(min, zip(*turns, strict=True)), agreeing, strict=True)
    least, name = min(timed, key=operator.itemgetter(0))
    if least < math.inf:
        fallback.failed.update(trial.failed)
    return name


def _seconds_per_row(plan: Plan, rows: Call) -> float:
    """Of one block; infinite if it fails, whose reason is noted."""
    if plan.strategy in plan.fallback.failed:
        return math.inf
    part = rows.take(slice(0, plan.rows))
    start = time.perf_counter()
    try:
        block_outputs(plan, part, [[BlockKey(0, 0, 0)]], "philox-1")
    except torch.OutOfMemoryError:  # smaller tiles will do; how fast, is not known
        return math.inf
    except Exception as error:  # noqa: BLE001 - such as room for fewer rows than there are copies
        plan.fallback.failed[plan.strategy] = reason(error)
        return math.inf
    plan.network.wait()
    return (time.perf_counter() - start) / part.rows
