"""The blocks of exact mode, one by one: for a server that fills them with rows of different requests.

A cell is one row for one block of 16 samples. Cells of different rows, seeds and blocks can share one
computation of R rows x 16 samples, and each gets the bits that it would get alone. `assemble` then gives the
very predictive that `predict(..., exact=True)` gives; the rows of several requests that want the same can be
assembled together. `until` does so block by block, for `n_samples="auto"`.

Alphabet: R cells of a computation, N rows, S samples.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import groupby
from operator import attrgetter
from typing import Final

import torch
from torch import Tensor

from mcdrop.engine.exact import smaller_sizes
from mcdrop.engine.inputs import Call
from mcdrop.engine.lines import Lines
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.sampling import Plan, block_outputs
from mcdrop.errors import McdropError, ShapeError
from mcdrop.prediction import Laws, Reduction, Wanted, deterministic_output, finish, picked, single_law
from mcdrop.predictive import Predictive, Task
from mcdrop.stopping import Stopping

__all__ = ["Cell", "CellResult", "Computation", "ExactBlocks"]

_TABLE: Final = 3
"""Axes of (16, R, C). A softmax over the last axis has the same bits however many samples there are; one with
more axes behind it need not."""
_ENOUGH: Final = 2
"""How often a block is rehearsed: the second time it is written down."""


@dataclass(frozen=True)
class Cell:
    """One row for one block of 16 samples.

    Attributes:
        row: A call of one row.
        key: Seed, row id and number of the block.
    """

    row: Call
    key: BlockKey


@dataclass(frozen=True, eq=False)
class Computation:
    """What one computation of R cells gave; its moments are taken once for all its cells.

    Attributes:
        outputs: (16, R, ...) raw outputs.
    """

    outputs: Tensor
    _reductions: dict[tuple[int, bool], Reduction] = field(default_factory=dict, repr=False)
    _laws: list[Laws] = field(default_factory=list, repr=False)

    def reduction(self, task: Task, count: int, *, keep: bool) -> Reduction:
        """The moments of the first `count` samples of every cell; with `keep` their law as well."""
        if (count, keep) not in self._reductions:
            reduction = Reduction()
            reduction.take_in(self._head(task, count), keep=keep)
            self._reductions[count, keep] = reduction
        return self._reductions[count, keep]

    def _head(self, task: Task, count: int) -> Laws:
        """The laws of the first `count` samples: all are made at once where their bits stay the same."""
        if self.outputs.dim() > _TABLE:
            return Laws.of(task, self.outputs[:count])
        if not self._laws:
            try:
                self._laws.append(Laws.of(task, self.outputs))
            except McdropError:  # perhaps of a sample that nobody wants
                return Laws.of(task, self.outputs[:count])
        return self._laws[0].head(count)


@dataclass(frozen=True, slots=True)
class CellResult:
    """What a cell came to: its column in a computation.

    Attributes:
        computation: That held the cell.
        column: Between 0 and R - 1.
    """

    computation: Computation
    column: int

    def apart(self) -> "CellResult":
        """The same without the other cells."""
        return CellResult(Computation(self.computation.outputs.narrow(1, self.column, 1)), 0)


@dataclass(frozen=True)
class ExactBlocks:
    """Exact mode for inputs of one signature; safe to share between threads.

    Attributes:
        plan: The exact plan, with its R.
        rng: Name of the generator.
        task: What the outputs mean; None for a network that returns one tensor.
        sizes: Numbers of rows below R, ascending, whose blocks are known to give the same bits.
    """

    plan: Plan
    rng: str
    task: Task | None = None
    sizes: tuple[int, ...] = ()

    def with_small_blocks(self, example: Call) -> "ExactBlocks":
        """The same for a server, where blocks come again and again.

        Few cells run in a block of fewer rows where a probe finds the bits to be equal, and blocks run
        without the Python of the model from the second time on, where that is known to be right.

        Args:
            example: Some rows.
        """
        return replace(self, plan=replace(self.plan, lines=Lines()), sizes=smaller_sizes(self.plan, example))

    def rehearse(self, row: Call) -> None:
        """Run blocks of every size, so that the first requests find all that is made on the way.

        Args:
            row: A call of one row.
        """
        for size in (*self.sizes, self.rows):
            keys = [BlockKey(0, 0, 0 if self.shares_masks else column % 2) for column in range(size)]
            for _ in range(_ENOUGH):
                self.run([Cell(row, key) for key in keys])

    @property
    def rows(self) -> int:
        """R: how many cells one computation takes."""
        return self.plan.rows

    @cached_property
    def _plans(self) -> dict[int, Plan]:
        """By the number of rows of a block."""
        return {size: replace(self.plan, rows=size) for size in (*self.sizes, self.rows)}

    @cached_property
    def shares_masks(self) -> bool:
        """Whether a site has no row axis, so that the cells of one computation must have one key."""
        return any(site.row_axis is None for site in self.plan.network.sites.values())

    def run(self, cells: Sequence[Cell]) -> list[CellResult]:
        """Compute some cells together.

        Args:
            cells: At most R of them; of one key if `shares_masks`.

        Raises:
            ShapeError: If there are too many cells, or of more keys than one computation can have.
        """
        keys = [cell.key for cell in cells]
        one_key = len(set(keys)) == 1
        if not 0 < len(cells) <= self.rows or (self.shares_masks and not one_key):
            raise ShapeError(
                f"wanted 1 to {self.rows} cells{' of one key' * self.shares_masks}, got {len(cells)}"
            )
        size = next((size for size in self.sizes if size >= len(cells)), self.rows)
        block = Call.join([cell.row for cell in cells], size)
        padded = keys[:1] if one_key else keys + [keys[-1]] * (size - len(keys))
        plan = self._plans[size]
        outputs = picked(self.task, plan.network, block_outputs(plan, block, [padded], self.rng))
        computation = Computation(outputs if size == self.rows else self._widened(outputs))
        return [CellResult(computation, column) for column in range(len(cells))]

    def _widened(self, outputs: Tensor) -> Tensor:
        """(16, R, ...), the last column again and again: what comes later sees one shape, whatever ran."""
        return outputs.index_select(1, self._columns[outputs.shape[1]])

    @cached_property
    def _columns(self) -> dict[int, Tensor]:
        """For each number of rows: R numbers of them, the last again and again."""
        each = torch.arange(self.rows, device=self.plan.network.device)
        return {size: each.clamp(max=size - 1) for size in self.sizes}

    def deterministic(self, call: Call) -> Tensor:
        """(R, ...) raw outputs of the pass with dropout off, for at most R rows, padded to R rows."""
        return deterministic_output(self.plan, call.pad(self.rows), self.task)

    def assemble(
        self, blocks: Sequence[Sequence[CellResult]], wanted: Wanted, *, deterministic: Tensor | None = None
    ) -> Predictive:
        """The predictive of some rows, from the results of all their cells.

        Args:
            blocks: For each block, in order: the result of each row.
            wanted: What the predictive is to hold; its n_samples says how much of the last block counts. At
                most R rows can want samples or quantiles.
            deterministic: (R, ...) what `deterministic` gave for these rows; without it the predictive's is
                NaN.

        Raises:
            ShapeError: If there are too many rows.
        """
        rows = len(blocks[0])
        as_tile = wanted.needs_samples or deterministic is not None
        if as_tile and rows > self.rows:
            raise ShapeError(f"wanted at most {self.rows} rows, got {rows}")
        # a quantile's bits depend on the shape of the tensor, so it gets that of a tile in `predict`
        padding = self.rows - rows if as_tile else 0
        moments = _moments([[*results, *[results[0]] * padding] for results in blocks], wanted)
        single = None if deterministic is None else single_law(wanted.task, deterministic)
        if single is None:
            single = moments.unknown(blocks[0][0].computation.outputs.dtype)
        return finish(moments, single, wanted, rows)

    def until(
        self,
        blocks: Sequence[Sequence[CellResult]],
        wanted: Wanted,
        *,
        before: Stopping | None = None,
        deterministic: Tensor | None = None,
    ) -> Stopping:
        """Rows that stop at a tolerance, after some more blocks.

        Args:
            blocks: For each block, in order: the result of each row that goes on.
            wanted: What the predictive is to hold, but for the samples; its `sampled` has the tolerance.
            before: What this gave for the blocks before; None if these are the first.
            deterministic: (N, ...) what `deterministic` gave, with the first blocks; without it the
                predictive's is NaN.

        Returns:
            What goes on, and, when nothing does, the predictive of all rows.
        """
        if before is None:
            single = _unknown(blocks[0]) if deterministic is None else deterministic
            before = Stopping.of(single, wanted, self.plan)
        return before.after(_moments(blocks, wanted, first=before.blocks))


def _moments(blocks: Sequence[Sequence[CellResult]], wanted: Wanted, first: int = 0) -> Reduction:
    """The moments of some rows; `first` is the index of the first of these blocks."""
    try:
        return _total(blocks, wanted, first)
    except McdropError:  # perhaps of other cells of a computation: they must not harm these
        return _total([[its.apart() for its in results] for results in blocks], wanted, first)


def _total(blocks: Sequence[Sequence[CellResult]], wanted: Wanted, first: int) -> Reduction:
    """The moments of some rows, wherever each of their cells was computed."""
    total = Reduction()
    for index, results in enumerate(blocks, first):
        count = min(wanted.sampled.n_samples - index * BLOCK, BLOCK)
        parts = [
            computation.reduction(wanted.task, count, keep=wanted.needs_samples).take(
                torch.tensor([its.column for its in group], device="cpu")
            )
            for computation, group in groupby(results, attrgetter("computation"))
        ]
        total = total.followed_by(Reduction.joined(parts))
    return total


def _unknown(results: Sequence[CellResult]) -> Tensor:
    """(N, ...) NaN in the shape and dtype of raw outputs."""
    outputs = results[0].computation.outputs
    return outputs.new_full((len(results), *outputs.shape[2:]), math.nan)
