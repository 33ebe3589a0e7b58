"""Mean and centred sum of squares of every block of 16 samples.

Sums over samples are additions of halves, which IEEE 754 rounds exactly, so a row's moments do not depend on
its place in a tensor (a reduction of torch may add in another order at the end of a tensor).

Several quantities of the same samples can stand side by side: their numbers are added up together. Where all
are few and on the CPU they are arrays of NumPy, whose calls take a third of the time; additions, products and
quotients have the same bits. Roots do not: they are always torch's.

Alphabet: s samples of one block, S samples in B blocks, N rows, K numbers of a row in all quantities.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["BLOCK", "BlockMoments", "Numbers", "block_moments", "part", "shaped", "some_rows", "stacked"]

BLOCK: Final = 16
_FEW_NUMBERS: Final = 2**14
"""So many at a time are arrays of NumPy."""
_MOST_LAYOUTS: Final = 64

Numbers = Any
"""A tensor or an array, with what the two have in common."""

_Parts = tuple[tuple[int, ...], Numbers, Numbers]
"""Counts, means and sums of squares of some blocks."""


@dataclass(slots=True)
class BlockMoments:
    """Moments of some blocks, of one quantity or several. Never changed.

    Attributes:
        counts: B numbers of samples; all blocks are whole but perhaps the last.
        mean: (B, N, K) float64.
        m2: (B, N, K) float64, the sums of squared deviations from the mean.
        shapes: Of a row in each quantity.
    """

    counts: tuple[int, ...]
    mean: Numbers
    m2: Numbers
    shapes: tuple[torch.Size, ...]

    def __len__(self) -> int:
        """B."""
        return len(self.counts)

    def head(self, blocks: int) -> "BlockMoments":
        """Of the first blocks."""
        return BlockMoments(self.counts[:blocks], self.mean[:blocks], self.m2[:blocks], self.shapes)

    def take(self, rows: Tensor | slice) -> "BlockMoments":
        """Of some of the rows."""
        mean, m2 = (some_rows(values, rows, 1) for values in (self.mean, self.m2))
        return BlockMoments(self.counts, mean, m2, self.shapes)

    def since(self, blocks: int) -> "BlockMoments":
        """Without the first blocks."""
        return BlockMoments(self.counts[blocks:], self.mean[blocks:], self.m2[blocks:], self.shapes)

    @staticmethod
    def chain(parts: "Sequence[BlockMoments]") -> "BlockMoments":
        """Of the blocks of all parts, one after the other; of the same rows."""
        return _joined_moments(parts, 0, tuple(count for part in parts for count in part.counts))

    @staticmethod
    def join(parts: "Sequence[BlockMoments]") -> "BlockMoments":
        """Of the rows of all parts, one after the other; of the same blocks."""
        return _joined_moments(parts, 1, parts[0].counts)


def _joined_moments(parts: Sequence[BlockMoments], axis: int, counts: tuple[int, ...]) -> BlockMoments:
    """Side by side: tensors if one of the parts has them."""
    alike = torch.as_tensor if any(isinstance(part.mean, Tensor) for part in parts) else np.asarray
    means, sums = [alike(part.mean) for part in parts], [alike(part.m2) for part in parts]
    return BlockMoments(counts, _joined(means, axis), _joined(sums, axis), parts[0].shapes)


def block_moments(*samples: Tensor) -> BlockMoments:
    """Moments of every 16 samples, and of those that are left over.

    Args:
        *samples: (S, N, ...) of each quantity.
    """
    tables, most = _tables(samples)
    with np.errstate(all="ignore"):
        if len(tables[0]) <= most:
            counts, mean, m2 = _moments(_joined(tables, 2))
        else:
            starts = range(0, len(tables[0]), most)
            counts, mean, m2 = _chained(
                [_moments(_joined([table[at : at + most] for table in tables], 2)) for at in starts]
            )
    return BlockMoments(counts, mean, m2, tuple([values.shape[2:] for values in samples]))


def _tables(samples: Sequence[Tensor]) -> tuple[list[Numbers], int]:
    """(S, N, K) each quantity, as arrays if its numbers are few; and how many samples are taken at once."""
    first = samples[0]
    count, rows = first.shape[:2]
    wide = [values.double() for values in samples]
    if first.is_cpu and not first.requires_grad:
        arrays = [values.numpy() for values in wide]
        if blocks := _FEW_NUMBERS * count // (BLOCK * max(sum([array.size for array in arrays]), 1)):
            return [array.reshape(count, rows, -1) for array in arrays], blocks * BLOCK
    return [values.reshape(count, rows, -1) for values in wide], BLOCK


def _chained(parts: Sequence[_Parts]) -> _Parts:
    """The blocks of all parts, one after the other."""
    counts, means, sums = zip(*parts, strict=True)
    return tuple(chain(*counts)), _joined(means, 0), _joined(sums, 0)


def _moments(numbers: Numbers) -> _Parts:
    """Counts (b), means and sums of squares (b, N, K) of samples (s, N, K)."""
    layout = _layout(len(numbers))
    blocks = layout.of(numbers)
    mean = _sum_of_samples(blocks) / layout.divisor
    deviations = blocks - mean
    squares = layout.without_gaps(deviations * deviations)
    return layout.counts, mean, _sum_of_samples(squares)


def _sum_of_samples(blocks: Numbers) -> Numbers:
    """Sum of (s, ...) over s, a power of two: the second half is added to the first until one is left."""
    while (half := len(blocks) // 2) > 0:
        blocks = blocks[:half] + blocks[half:]
    return blocks[0]


@dataclass(frozen=True)
class _Layout:
    """Where samples stand so that all blocks are added up by the same halves, the last one cut or not.

    Of a cut block a half can be odd; its last sample is then added one halving later. There are places among
    16 where every sample meets the same others, if the gaps hold zeros that change no sum, not even of zeros.

    Attributes:
        counts: Of each block.
        divisor: One count for all, or (b, 1, 1).
        order: (s, b) the sample at each place, in gaps any; None if each stands where it is.
        gaps: Places of the last block where no sample stands; evenly spaced ones as a slice, which is faster.
    """

    counts: tuple[int, ...]
    divisor: Numbers
    order: NDArray[np.intp] | None
    gaps: NDArray[np.intp] | slice | None

    def of(self, numbers: Numbers) -> Numbers:
        """(s, b, N, K) of samples (s, N, K)."""
        if self.order is None:
            return numbers[:, None]
        if isinstance(numbers, Tensor):
            return self.without_gaps(numbers[self.order])
        return self.without_gaps(numbers.take(self.order, 0))

    def without_gaps(self, blocks: Numbers) -> Numbers:
        """The same with zeros in the gaps."""
        if self.gaps is not None:
            blocks[self.gaps, -1] = -0.0
        return blocks


@lru_cache(maxsize=_MOST_LAYOUTS)
def _layout(count: int) -> _Layout:
    """Of so many samples."""
    whole, rest = divmod(count, BLOCK)
    counts = (BLOCK,) * whole + (rest,) * (rest > 0)
    size = BLOCK if whole else 1 << (rest - 1).bit_length()
    order = np.arange(len(counts) * size).reshape(-1, size).T.copy()
    gaps = None
    if rest:
        places = _places(rest, size)
        gaps = _gaps(places, size)
        order[:, -1] = 0
        order[places, -1] = np.arange(whole * BLOCK, count)
    divisor = np.array(counts, np.float64).reshape(-1, 1, 1) if whole and rest else counts[0]
    as_it_is = len(counts) == 1 and gaps is None
    return _Layout(counts, divisor, None if as_it_is else order, gaps)


def _places(count: int, size: int) -> list[int]:
    """Where so many samples stand in a block of that size, a power of two."""
    if count == 1:
        return [0]
    half = count // 2
    first = _places(count - half, size // 2)
    return [*first[:half], *[place + size // 2 for place in first[:half]], *first[half:]]


def _gaps(places: Sequence[int], size: int) -> NDArray[np.intp] | slice | None:
    """The other places, if there are any."""
    gaps = np.setdiff1d(np.arange(size), places)
    if not len(gaps):
        return None
    step = int(gaps[1] - gaps[0]) if len(gaps) > 1 else 1
    spaced = slice(int(gaps[0]), int(gaps[-1]) + 1, step)
    return spaced if np.array_equal(np.arange(size)[spaced], gaps) else gaps


def _joined(parts: Sequence[Numbers], axis: int) -> Numbers:
    """Arrays or tensors side by side."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts), axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


def stacked(parts: Sequence[Numbers]) -> Numbers:
    """Arrays or tensors of one shape, as the rows of one."""
    return torch.stack(list(parts)) if isinstance(parts[0], Tensor) else np.array(parts)


def some_rows(numbers: Numbers, rows: Tensor | slice, axis: int = 0) -> Numbers:
    """Some of the rows, which are on that axis."""
    where: Any = rows
    if isinstance(rows, Tensor):
        where = rows.to(numbers.device) if isinstance(numbers, Tensor) else rows.cpu().numpy()
    return numbers[:, where] if axis else numbers[where]


def part(numbers: Numbers, shapes: Sequence[torch.Size], place: int = 0) -> Numbers:
    """(..., N, k) those of one quantity, of numbers (..., N, K) of all."""
    if len(shapes) == 1:
        return numbers
    start = sum([before.numel() for before in shapes[:place]])
    return numbers[..., start : start + shapes[place].numel()]


def shaped(numbers: Numbers, shape: torch.Size) -> Tensor:
    """(..., N, ...) as a tensor: numbers (..., N, k) of one quantity, whose rows have that shape."""
    own = (
        numbers.contiguous()
        if isinstance(numbers, Tensor)
        else torch.from_numpy(np.ascontiguousarray(numbers))
    )
    return own if len(shape) == 1 else own.view(*numbers.shape[:-1], *shape)
