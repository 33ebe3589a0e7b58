"""Whether answers have the same bits alone and in company: tried out when a model is loaded."""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from mcdrop.blocks import Cell, ExactBlocks
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.probes import probe_inputs

__all__ = ["Invariance", "batch_invariance"]

Invariance = Literal["bitwise", "tolerance"]
TRIALS = 2


def batch_invariance(blocks: ExactBlocks, example: Call) -> Invariance:
    """What holds of a row whatever it shares a computation with.

    A row is computed alone, first and last among rows of other seeds, and all that twice.

    Args:
        blocks: Of exact mode.
        example: At least one row of the right signature.

    Returns:
        `bitwise` if the row had the same bits each time, else `tolerance`.
    """
    rows = probe_inputs(example, blocks.rows, trial=0)
    cells = [
        Cell(rows.take(slice(row, row + 1)), BlockKey(0 if blocks.shares_masks else row, 0, 0))
        for row in range(blocks.rows)
    ]
    companies = (cells[:1], cells, cells[::-1])
    found = [_first_row(blocks, company, cells[0]) for _ in range(TRIALS) for company in companies]
    return "bitwise" if all(torch.equal(found[0], each) for each in found[1:]) else "tolerance"


def _first_row(blocks: ExactBlocks, company: Sequence[Cell], wanted: Cell) -> Tensor:
    """(16, ...) raw outputs of a cell in its company."""
    place = next(index for index, cell in enumerate(company) if cell is wanted)
    return blocks.run(company)[place]
