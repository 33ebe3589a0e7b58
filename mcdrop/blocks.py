"""The blocks of exact mode, one by one: for a server that fills them with rows of different requests.

A cell is one row for one block of 16 samples. Cells of different rows, seeds and blocks can share one
computation of R rows x 16 samples, and each gets the bits that it would get alone. `assemble` then gives the
very predictive that `predict(..., exact=True)` gives.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcdrop.errors import ShapeError
from mcdrop.inputs import Call
from mcdrop.masks import BLOCK, BlockKey
from mcdrop.prediction import Reduction, Wanted, finish, result_index
from mcdrop.predictive import Predictive
from mcdrop.sampling import Plan, block_outputs

__all__ = ["Cell", "ExactBlocks"]


@dataclass(frozen=True)
class Cell:
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
    """

    plan: Plan
    rng: str

    @property
    def rows(self) -> int:
        """R: how many cells one computation takes."""
        return self.plan.rows

    @property
    def shares_masks(self) -> bool:
        """Whether a site has no row axis, so that the cells of one computation must have one key."""
        return any(site.row_axis is None for site in self.plan.network.sites.values())

    def run(self, cells: Sequence[Cell]) -> list[Tensor]:
        """Raw outputs of some cells, (16, ...) each.

        Args:
            cells: At most R of them; of one key if `shares_masks`.

        Raises:
            ShapeError: If there are too many cells, or of more keys than one computation can have.
        """
        keys = [cell.key for cell in cells]
        if not 0 < len(cells) <= self.rows or (self.shares_masks and len(set(keys)) > 1):
            raise ShapeError(
                f"wanted 1 to {self.rows} cells{' of one key' * self.shares_masks}, got {len(cells)}"
            )
        block = Call.join([cell.row for cell in cells]).pad(self.rows)
        padded = keys[:1] if len(set(keys)) == 1 else keys + [keys[-1]] * (self.rows - len(keys))
        outputs = block_outputs(self.plan, block, [padded], self.rng)[result_index(self.plan.network)]
        return list(outputs.unbind(1))[: len(cells)]

    def deterministic(self, call: Call) -> Tensor:
        """Raw outputs of the pass with dropout off, for at most R rows, padded to R rows."""
        with torch.inference_mode():
            return self.plan.network.deterministic_outputs(call.pad(self.rows))[
                result_index(self.plan.network)
            ]

    def assemble(
        self, blocks: Sequence[Sequence[Tensor]], deterministic: Tensor, wanted: Wanted
    ) -> Predictive:
        """The predictive of at most R rows, from the outputs of all their cells.

        Args:
            blocks: For each block, in order: the outputs of `run` for each row.
            deterministic: What `deterministic` gave for these rows.
            wanted: What the predictive is to hold; its n_samples says how much of the last block counts.
        """
        rows = len(blocks[0])
        reduction = Reduction()
        for index, outputs in enumerate(blocks):
            padding = [torch.zeros_like(outputs[0])] * (self.rows - rows)
            left = wanted.sampled.n_samples - index * BLOCK
            keep = wanted.keep_samples or bool(wanted.levels)
            reduction.add(wanted.task, torch.stack([*outputs, *padding], 1)[:left], keep=keep)
        return finish(reduction, deterministic, wanted, rows)
