"""The blocks of exact mode, one by one: for a server that fills them with rows of different requests.

A cell is one row for one block of 16 samples. Cells of different rows, seeds and blocks can share one
computation of R rows x 16 samples, and each gets the bits that it would get alone. `assemble` then gives the
very predictive that `predict(..., exact=True)` gives; the rows of several requests that want the same can be
assembled together. `until` does so block by block, for `n_samples="auto"`.

Alphabet: R cells of a computation, N rows, S samples.
"""

import math
from collections.abc import Collection, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final, NamedTuple

import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.engine.exact import smaller_plans
from mcdrop.engine.inputs import Call
from mcdrop.engine.lines import Lines
from mcdrop.engine.masks import BLOCK, BlockKey
from mcdrop.engine.probes import probe_inputs
from mcdrop.engine.sampling import Plan, block_outputs
from mcdrop.errors import ShapeError
from mcdrop.prediction import Reduction, Wanted, deterministic_output, finish, picked, single_law
from mcdrop.predictive import Predictive, Task
from mcdrop.predictive.archive import as_array
from mcdrop.stopping import Stopping

__all__ = ["Cell", "ExactBlocks"]

_TABLE: Final = 2
"""Axes of a cell (16, C), whose bits do not depend on how many rows and samples are reduced together; of a
cell with more axes a probe finds it out."""
_FEW_NUMBERS: Final = 2**16
"""Of raw outputs, that are reduced together."""
_TRIALS: Final = 2


class Cell(NamedTuple):
    """One row for one block of 16 samples.

    Attributes:
        row: A call of one row.
        key: Seed, row id and number of the block.
    """

    row: Call
    key: BlockKey


@dataclass(frozen=True)
class ExactBlocks:
    """Exact mode for inputs of one signature; safe to share between threads.

    Attributes:
        plan: The exact plan, with its R.
        rng: Name of the generator.
        task: What the outputs mean; None for a network that returns one tensor.
        smaller: Plans for fewer rows than R, ascending, whose blocks are known to give the same bits.
        rowwise: Whether rows of more axes are known to be reduced to the same bits however many they are.
    """

    plan: Plan
    rng: str
    task: Task | None = None
    smaller: tuple[Plan, ...] = ()
    rowwise: bool = False

    def with_small_blocks(self, example: Call) -> "ExactBlocks":
        """The same for a server, where blocks come again and again.

        Few cells run in a block of fewer rows where a probe finds the bits to be equal, and blocks that come
        often run without the Python of the model where that is known to be right.

        Args:
            example: Some rows.
        """
        lines = Lines()
        plans = [replace(plan, lines=lines) for plan in (*smaller_plans(self.plan, example), self.plan)]
        return replace(self, plan=plans.pop(), smaller=tuple(plans), rowwise=self._is_rowwise(example))

    def rehearse(self, row: Call) -> None:
        """Run blocks of every size, so that the first requests find all that is made on the way.

        Args:
            row: A call of one row.
        """
        with nullcontext() if self.plan.lines is None else self.plan.lines.at_once():
            for plan in (*self.smaller, self.plan):
                for blocks in (1,) if self.shares_masks or plan.rows == 1 else (1, 2):
                    keys = [BlockKey(0, 0, column % blocks) for column in range(plan.rows)]
                    self.run([Cell(row, key) for key in keys])

    @property
    def rows(self) -> int:
        """R: how many cells one computation takes."""
        return self.plan.rows

    @cached_property
    def shares_masks(self) -> bool:
        """Whether a site has no row axis, so that the cells of one computation must have one key."""
        return any(site.row_axis is None for site in self.plan.network.sites.values())

    def run(self, cells: Sequence[Cell]) -> list[Tensor]:
        """Compute some cells together.

        Args:
            cells: At most R of them; of one key if `shares_masks`.

        Returns:
            (16, ...) raw outputs of each cell.

        Raises:
            ShapeError: If there are too many cells, or of more keys than one computation can have.
        """
        keys = [cell.key for cell in cells]
        one_key = len(set(keys)) == 1
        if not 0 < len(cells) <= self.plan.rows or (self.shares_masks and not one_key):
            raise ShapeError(
                f"wanted 1 to {self.rows} cells{' of one key' * self.shares_masks}, got {len(cells)}"
            )
        plan = next((plan for plan in self.smaller if plan.rows >= len(cells)), self.plan)
        block = Call.join([cell.row for cell in cells], plan.rows)
        padded = keys[:1] if one_key else keys + [keys[-1]] * (plan.rows - len(keys))
        outputs = picked(self.task, plan.network, block_outputs(plan, block, [padded], self.rng))
        return list(outputs.unbind(1)[: len(cells)])

    def deterministic(self, call: Call) -> Tensor:
        """(R, ...) raw outputs of the pass with dropout off, for at most R rows, padded to R rows."""
        return deterministic_output(self.plan, call.pad(self.rows), self.task)

    def assemble(
        self, blocks: Sequence[Sequence[Tensor]], wanted: Wanted, *, deterministic: Tensor | None = None
    ) -> Predictive:
        """The predictive of some rows, from the results of all their cells.

        Args:
            blocks: For each block, in order: the result of each row.
            wanted: What the predictive is to hold; its n_samples says how much of the last block counts.
            deterministic: (R, ...) what `deterministic` gave for these rows, at most R; without it the
                predictive's is NaN.

        Raises:
            ShapeError: If there are more rows than `deterministic` has.
        """
        rows = len(blocks[0])
        if deterministic is not None and rows > self.rows:
            raise ShapeError(f"wanted at most {self.rows} rows, got {rows}")
        as_tile = deterministic is not None  # which has the rows of one
        reduction = self._reduction(_filled(blocks, self.rows) if as_tile else blocks, wanted)
        return _finished(reduction, wanted, rows, blocks[0][0].dtype, deterministic)

    def outputs(
        self, blocks: Sequence[Sequence[Tensor]], wanted: Wanted, names: Collection[str]
    ) -> dict[str, NDArray[Any]]:
        """Some of what `assemble` gives, as arrays with the same bits, and sooner for few rows of classes.

        Args:
            blocks: For each block, in order: the result of each row.
            wanted: What the predictive would hold; neither samples nor quantiles.
            names: Of outputs and fields.
        """
        reduction, dtype = self._reduction(blocks, wanted), blocks[0][0].dtype
        told = reduction.outputs(wanted, dtype)
        if told.keys() >= set(names):
            return {name: told[name] for name in names}
        predictive = _finished(reduction, wanted, None, dtype)
        return {name: as_array(getattr(predictive, name)) for name in names}

    def until(
        self,
        blocks: Sequence[Sequence[Tensor]],
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
        if before is not None:
            return before.after(self._reduction(blocks, wanted, first=before.blocks))
        single = _unknown(blocks[0]) if deterministic is None else deterministic
        return Stopping.of(self._reduction(blocks, wanted), single, wanted, self.plan)

    def _reduction(self, blocks: Sequence[Sequence[Tensor]], wanted: Wanted, *, first: int = 0) -> Reduction:
        """The moments of some rows; `first` is the index of the first of these blocks."""
        cell = blocks[0][0]
        table, most = cell.dim() <= _TABLE, self._few_rows(cell)
        if table or self.rowwise:
            together = max(most // len(blocks[0]), 1) if table else 1
            parts = [_reduced(part, wanted, first, together=together) for part in _parts(blocks, most)]
        else:
            parts = [
                _reduced(_filled(part, self.rows), wanted, first, together=1).take(slice(len(part[0])))
                for part in _parts(blocks, self.rows)
            ]
        return Reduction.join(parts)

    def _few_rows(self, cell: Tensor) -> int:
        """How many are reduced together."""
        most = max(_FEW_NUMBERS // cell.numel(), 1)
        return most if cell.dim() <= _TABLE else min(most, self.rows)

    def _is_rowwise(self, example: Call) -> bool:
        """Whether the rows of a block are reduced to the same bits together and a few at a time."""
        try:
            return all(self._agrees(probe_inputs(example, self.rows, trial)) for trial in range(_TRIALS))
        except Exception:  # noqa: BLE001  what is probed need be no input, or give outputs that are refused
            return False

    def _agrees(self, block: Call) -> bool:
        results = self.run([Cell(row, BlockKey(0, 0, 0)) for row in block.one_by_one()])
        if self.task is None or results[0].dim() <= _TABLE:
            return False
        whole = Reduction.of(self.task, _raw([results]), keep=True)
        for rows in range(1, self._few_rows(results[0]) + 1):
            for start in range(0, self.rows, rows):
                few = slice(start, start + rows)
                if not _same(Reduction.of(self.task, _raw([results[few]]), keep=True), whole.take(few)):
                    return False
        return True


def _same(one: Reduction, other: Reduction) -> bool:
    """Whether the reductions of the same rows have the same bits."""
    pairs = zip(
        (one.blocks.mean, one.blocks.m2, *one.laws),
        (other.blocks.mean, other.blocks.m2, *other.laws),
        strict=True,
    )
    return all(torch.equal(torch.as_tensor(a), torch.as_tensor(b)) for a, b in pairs)


def _finished(
    reduction: Reduction,
    wanted: Wanted,
    rows: int | None,
    dtype: torch.dtype,
    deterministic: Tensor | None = None,
) -> Predictive:
    """The predictive of so many rows; NaN where nobody asked for the pass with dropout off."""
    summary = reduction.summary(stratified=wanted.stratified)
    if deterministic is None:
        single = summary.figures.new_full(summary.figures.shape[1:], math.nan, dtype=dtype)
    else:
        single = single_law(wanted.task, deterministic)
    return finish(summary, single, wanted, rows)


def _reduced(blocks: Sequence[Sequence[Tensor]], wanted: Wanted, first: int, *, together: int) -> Reduction:
    """The moments of some rows, so many blocks together."""
    left = wanted.sampled.n_samples - first * BLOCK
    found = [
        Reduction.of(
            wanted.task,
            _raw(blocks[start : start + together])[: left - start * BLOCK],
            keep=wanted.needs_samples,
        )
        for start in range(0, len(blocks), together)
    ]
    return Reduction.chain(found)


def _raw(blocks: Sequence[Sequence[Tensor]]) -> Tensor:
    """(s, N, ...) raw outputs of whole blocks, from those of every cell."""
    each = [cell for results in blocks for cell in results]
    if len(each) == len(blocks):
        return torch.cat(each).unsqueeze(1)
    cells = torch.stack(each)
    by_block = cells.view(len(blocks), -1, *cells.shape[1:])
    return by_block.transpose(1, 2).reshape(len(blocks) * BLOCK, -1, *cells.shape[2:])


def _parts(blocks: Sequence[Sequence[Tensor]], most: int) -> Sequence[Sequence[Sequence[Tensor]]]:
    """At most so many of the rows at a time."""
    if len(blocks[0]) <= most:  # as nearly all that a server answers
        return [blocks]
    starts = range(0, len(blocks[0]), most)
    return [[results[start : start + most] for results in blocks] for start in starts]


def _filled(blocks: Sequence[Sequence[Tensor]], rows: int) -> list[list[Tensor]]:
    """So many rows, the first again and again behind all."""
    return [[*results, *[results[0]] * (rows - len(results))] for results in blocks]


def _unknown(results: Sequence[Tensor]) -> Tensor:
    """(N, ...) NaN in the shape and dtype of raw outputs."""
    first = results[0]
    return first.new_full((len(results), *first.shape[1:]), math.nan)
