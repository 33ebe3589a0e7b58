"""Masks: what the sites of one block of 16 samples multiply by.

Every mask is a pure function of (seed, row, block, site, element). `philox-1` stratifies across the
samples. In every block each element takes the 16 strata of [0, 1) in a random order: u = (rank + jitter) /
16. So each sample is an exact draw, the blocks are independent, and within a block an element that is
dropped with p = .5 is dropped in exactly 8 samples of 16. `philox-1-plain` draws independently. Only
integers are compared, so that masks are the same bits on every device.

Elements are numbered in row-major order, so the slowest axis may grow (time) without changing what was there.

Source: stratification is a randomised orthogonal array of strength one, Owen 1997, "Monte Carlo variance of
scrambled net quadrature".
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.engine.philox import StreamKey, words
from mcdrop.engine.sites import Law, Site, site_id
from mcdrop.errors import OptionError

__all__ = [
    "BLOCK",
    "RNGS",
    "BlockKey",
    "draw_block",
    "draw_one",
    "draw_site",
    "is_stratified",
    "uniform_bits",
]

BLOCK: Final = 16
"""Samples in a block; also the number of strata."""

_ELEMENTS: Final = 2**15
"""Of a mask, drawn at once: what is in between takes five times the memory, and stays in the cache."""


class BlockKey(NamedTuple):
    """Whose masks: a seed, the row's id (0 where all rows share them) and the number of the block of 16."""

    seed: int
    row: int
    block: int


def uniform_bits(key: StreamKey, elements: int, rng: str, *, start: int = 0) -> NDArray[np.uint32]:
    """Uniform integers for one block.

    Args:
        key: The stream.
        elements: How many elements are wanted.
        rng: `philox-1` (stratified) or `philox-1-plain`.
        start: The first of them.

    Returns:
        (16, elements) uint32, each uniform on [0, 2^32).

    Raises:
        OptionError: If there is no generator of that name.
    """
    if rng not in RNGS:
        raise OptionError(f"rng must be one of {', '.join(RNGS)}, got {rng!r}")
    return np.ascontiguousarray(RNGS[rng](key, elements, start).T)


def is_stratified(rng: str) -> bool:
    """Whether the samples of a block are stratified under the generator of that name."""
    return RNGS.get(rng) is _stratified


def draw_block(law: Law, shape: Sequence[int], key: StreamKey, rng: str) -> Tensor:
    """One block of masks.

    Args:
        law: What is drawn.
        shape: Of one mask.
        key: The stream.
        rng: Name of the generator.

    Returns:
        (16, *shape), on the CPU.
    """
    elements = math.prod(shape)
    if elements <= _ELEMENTS:
        return _LAWS[law.name](uniform_bits(key, elements, rng), law).reshape(BLOCK, *shape)
    drawn = torch.empty(BLOCK, elements, dtype=law.dtype, device="cpu")
    for start in range(0, elements, _ELEMENTS):
        part = drawn[:, start : start + _ELEMENTS]
        part.copy_(_LAWS[law.name](uniform_bits(key, part.shape[1], rng, start=start), law))
    return drawn.reshape(BLOCK, *shape)


def draw_one(law: Law, shape: Sequence[int], key: StreamKey) -> Tensor:
    """One mask, of `shape`: for looking at a network, where no block is wanted."""
    elements = math.prod(shape)
    bits = words(key, -(-elements // 2)).view("<u4")[:elements]
    return _LAWS[law.name](bits, law).reshape(shape)


DrawBlock = Callable[[Law, Sequence[int], StreamKey, str], Tensor]
"""`draw_block`, or something that gives the same; or something that gives fewer samples, to look at."""


def draw_site(
    site: Site,
    law: Law,
    shape: tuple[int, ...],
    keys: Sequence[BlockKey],
    rng: str,
    *,
    draw: DrawBlock = draw_block,
) -> Tensor:
    """One block of masks of one site, for all rows of a batch.

    Args:
        site: The site.
        law: What is drawn.
        shape: Of the mask that the network asks for, with its rows.
        keys: One for each row; or a single one, whose masks all rows share.
        rng: Name of the generator.
        draw: Draws one block as `draw_block` does.

    Returns:
        (16, *shape), or a shape that broadcasts to it when rows share their masks.
    """
    if site.row_axis is None:
        keys = [keys[0]._replace(row=0)]  # shared by all rows, whatever their ids
    identity = site_id(site.key, site.kind)
    row_shape = site.row_shape(shape)
    drawn = {  # rows that share a key cost one draw
        key: draw(law, row_shape, StreamKey(key.seed, key.row, key.block, identity), rng) for key in set(keys)
    }
    if site.row_axis is None:
        return drawn[keys[0]]
    return _join_rows([drawn[key] for key in keys], site, shape)


def _join_rows(rows: Sequence[Tensor], site: Site, shape: tuple[int, ...]) -> Tensor:
    axis = 1 + (site.row_axis or 0)
    if len(rows) > 1:
        return torch.stack(list(rows), axis).reshape(-1, *shape)
    single = rows[0].unsqueeze(axis)
    if site.row_factor == 1:
        return single
    count = shape[axis - 1] // site.row_factor
    return single.expand(*single.shape[:axis], count, *single.shape[axis + 1 :]).reshape(-1, *shape)


def _stratified(key: StreamKey, elements: int, start: int) -> NDArray[np.uint32]:
    halves = words(key, BLOCK * elements, start=BLOCK * start).view("<u4").reshape(elements, BLOCK, 2)
    order = (halves[..., 1] & np.uint32(0xFFFFFFF0)) | np.arange(BLOCK, dtype=np.uint32)
    order.sort(axis=-1)  # 28 random bits decide; the low 4 are then a random permutation of the strata
    jitter = halves[..., 0] >> np.uint32(4)
    uniform: NDArray[np.uint32] = ((order & np.uint32(15)) << np.uint32(28)) | jitter
    return uniform


def _plain(key: StreamKey, elements: int, start: int) -> NDArray[np.uint32]:
    halves = words(key, BLOCK // 2 * elements, start=BLOCK // 2 * start).view("<u4")
    return halves.reshape(elements, BLOCK)


RNGS: Final[dict[str, Callable[[StreamKey, int, int], NDArray[np.uint32]]]] = {
    "philox-1": _stratified,
    "philox-1-plain": _plain,
}
"""Generators by name. A name stands for its bits for ever: another algorithm takes another name."""


def _keep(bits: NDArray[np.uint32], law: Law) -> Tensor:
    if law.p >= 1:
        return torch.zeros(bits.shape, dtype=law.dtype, device="cpu")
    threshold = np.uint32(min(round(law.p * 2**32), 2**32 - 1))
    return torch.from_numpy(bits >= threshold).to(law.dtype)


def _noise(bits: NDArray[np.uint32], law: Law) -> Tensor:
    kept = _keep(bits, law)
    return kept.div_(1 - law.p) if law.p < 1 else kept  # the order of operations of torch's own dropout


def _uniform(bits: NDArray[np.uint32], law: Law) -> Tensor:
    digits = _DIGITS[law.dtype]  # all that the dtype holds, so that no value rounds up to 1
    coarse = torch.from_numpy((bits >> np.uint32(32 - digits)).astype(np.int64))
    return (coarse.to(torch.float64) * 2.0**-digits).to(law.dtype)


def _normal(bits: NDArray[np.uint32], law: Law) -> Tensor:
    middle = (torch.from_numpy(bits.astype(np.float64)) + 0.5) * 2.0**-32
    normal: Tensor = torch.special.ndtri(middle)
    return normal.to(law.dtype)


_DIGITS: Final = {torch.float64: 32, torch.float32: 24, torch.float16: 11, torch.bfloat16: 8}

_LAWS: Final[dict[str, Callable[[NDArray[np.uint32], Law], Tensor]]] = {
    "keep": _keep,
    "noise": _noise,
    "uniform": _uniform,
    "normal": _normal,
}
