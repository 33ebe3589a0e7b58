"""Mean and centred sum of squares of every block of 16 samples.

Sums over samples are additions of halves, which IEEE 754 rounds exactly, so a row's moments do not depend on
its place in a tensor (a reduction of torch may add in another order at the end of a tensor).

Several quantities of the same samples can stand side by side: their numbers are added up together. Where all
are few and on the CPU they are arrays of NumPy, whose calls take a third of the time; additions, products and
quotients have the same bits. Roots do not: they are always torch's.

Alphabet: s samples of one block, S samples in B blocks, N rows, K numbers of a row in all quantities.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

__all__ = ["BLOCK", "BlockMoments", "Numbers", "block_moments", "quantity", "some_rows"]

BLOCK: Final = 16
_FEW_NUMBERS: Final = 2**14
"""So many at a time are arrays of NumPy."""

Numbers = Any
"""A tensor or an array, with what the two have in common."""


@dataclass(frozen=True)
class BlockMoments:
    """Moments of some blocks, of one quantity or several.

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
    tables, at_once = _tables([values.double() for values in samples])
    with np.errstate(all="ignore"):
        parts = [_moments(blocks) for blocks in _blocks(tables, at_once)]
    counts, means, sums = zip(*parts, strict=True)
    shapes = tuple(values.shape[2:] for values in samples)
    return BlockMoments(tuple(chain(*counts)), _joined(means, 0), _joined(sums, 0), shapes)


def _tables(samples: Sequence[Tensor]) -> tuple[list[Numbers], int]:
    """(S, N, K) each quantity, as arrays if its numbers are few; and how many blocks are taken at once."""
    first = samples[0]
    count, rows = first.shape[:2]
    at_once = _FEW_NUMBERS * count // (BLOCK * max(sum(map(torch.numel, samples)), 1))
    if at_once and first.is_cpu and not first.requires_grad:
        return [values.numpy().reshape(count, rows, -1) for values in samples], at_once
    return [values.reshape(count, rows, -1) for values in samples], 1


def _blocks(tables: Sequence[Numbers], at_once: int) -> Iterator[Numbers]:
    """(s, b, N, K) at most so many blocks of one size, all quantities side by side."""
    samples = len(tables[0])
    whole = samples - samples % BLOCK
    for start in (*range(0, whole, at_once * BLOCK), *range(whole, samples, BLOCK)):
        stop = min(start + at_once * BLOCK, whole if start < whole else samples)
        numbers = _joined([table[start:stop] for table in tables], 2)
        yield numbers.reshape(-1, min(stop - start, BLOCK), *numbers.shape[1:]).swapaxes(0, 1)


def _moments(blocks: Numbers) -> tuple[tuple[int, ...], Numbers, Numbers]:
    """Counts (b), means and sums of squares (b, N, K) of (s, b, N, K)."""
    mean = _sum_of_samples(blocks) / len(blocks)
    deviations = blocks - mean
    return (len(blocks),) * len(mean), mean, _sum_of_samples(deviations * deviations)


def _sum_of_samples(blocks: Numbers) -> Numbers:
    """Sum of (s, ...) over s: the second half is added to the first until one is left."""
    while (count := len(blocks)) > 1:
        half = count // 2
        added = blocks[:half] + blocks[half : 2 * half]
        blocks = _joined([added, blocks[2 * half :]], 0) if count % 2 else added
    return blocks[0]


def _joined(parts: Sequence[Numbers], axis: int) -> Numbers:
    """Arrays or tensors side by side."""
    if len(parts) == 1:
        return parts[0]
    return torch.cat(list(parts), axis) if isinstance(parts[0], Tensor) else np.concatenate(parts, axis)


def some_rows(numbers: Numbers, rows: Tensor | slice, axis: int = 0) -> Numbers:
    """Some of the rows, which are on that axis."""
    where: Any = rows
    if isinstance(rows, Tensor):
        where = rows.to(numbers.device) if isinstance(numbers, Tensor) else rows.cpu().numpy()
    return numbers[:, where] if axis else numbers[where]


def quantity(numbers: Numbers, shapes: Sequence[torch.Size], place: int = 0) -> Tensor:
    """(N, ...) as a tensor: those of one quantity, of numbers (N, K) of all."""
    start = sum([shape.numel() for shape in shapes[:place]])
    own = numbers[:, start : start + shapes[place].numel()].reshape(len(numbers), *shapes[place])
    return own.contiguous() if isinstance(own, Tensor) else torch.from_numpy(np.ascontiguousarray(own))
