"""Exact mode: blocks of a fixed shape, R rows x 16 samples, whose rows keep their bits in any company.

R is what the position probe confirms: the largest of the candidates for which every row of a block has the
same bits in every position, among other neighbours, and alone among zeros, and comes to them by the same
numbers. On some processors small matrix products treat rows by position; there R goes down to 1, which always
holds. Timing never decides, so library and service find the same R.
"""

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

import torch
from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.probes import probe_inputs
from mcdrop.engine.roundings import Roundings
from mcdrop.engine.sampling import Plan, block_outputs

__all__ = ["CANDIDATES", "confirmed_rows", "smaller_plans"]

CANDIDATES: Final = (16, 8, 4, 2, 1)
_TRIALS: Final = 2
_MORE_TRIALS, _LONG_S = 8, 0.05
"""Smaller blocks are tried more often while that takes no longer: few numbers seldom show what differs."""


def confirmed_rows(plan: Plan, example: Call, *, most: int = CANDIDATES[0]) -> int:
    """The largest R, at most `most`, that the position probe confirms.

    Args:
        plan: Its strategy is probed; its number of rows is not used.
        example: A call of the right signature; its integer inputs are repeated, its floating inputs replaced.
        most: Where to begin.

    Returns:
        R; 1 if the input is not split, which has no other position.
    """
    if example.whole:
        return 1
    larger = (rows for rows in CANDIDATES if 1 < rows <= most)
    return next((rows for rows in larger if _is_confirmed(replace(plan, rows=rows), example)), 1)


def _is_confirmed(plan: Plan, example: Call) -> bool:
    # small blocks have few numbers, which seldom show what differs
    trials = range(CANDIDATES[0] // plan.rows)
    return all(
        _holds(partial(_rows_agree, plan, example, 2 * trial))
        and _holds(partial(_numbers_agree, plan, example, 2 * trial + 1))
        for trial in trials
    )


def smaller_plans(plan: Plan, example: Call) -> list[Plan]:
    """Plans for fewer than R rows whose blocks give the bits of a block of R rows, as a probe finds.

    A server can then run a few rows in a small block: the answer is the same, and comes sooner. Very few rows
    that have other bits are tried again with linear layers of as many rows as those of larger blocks have.

    Args:
        plan: An exact plan, with its R.
        example: A call of the right signature.

    Returns:
        By their numbers of rows, ascending.
    """
    found: list[Plan] = []
    enough = plan.rows
    for rows in (rows for rows in CANDIDATES if rows < plan.rows):
        parts = (replace(plan, rows=rows, network=replace(plan.network, least_rows=n)) for n in (1, enough))
        part = next((part for part in parts if _is_same(plan, part, example)), None)
        if part is not None:
            found.insert(0, part)
            enough = max(rows, part.network.least_rows)
    return found


def _is_same(plan: Plan, part: Plan, example: Call) -> bool:
    least = math.inf  # a thread may be held up now and then, which is no property of the model
    for trial in range(_MORE_TRIALS):
        if trial >= _TRIALS and trial * least > _LONG_S:
            break
        start = time.thread_time()
        if not _holds(partial(_same_in_parts, plan, part, example, trial)):
            return False
        least = min(least, time.thread_time() - start)
    return all(_rounds_alike(plan, part, example, trial) for trial in range(_TRIALS))


def _same_in_parts(plan: Plan, part: Plan, example: Call, trial: int) -> bool:
    """Whether a block cut into smaller ones keeps its bits, and their rows theirs in every position."""
    block = probe_inputs(example, plan.rows, trial)
    full, pieces = _run(plan, block, trial), _run_in_parts(part, block, trial)
    joined = [torch.cat(tensors, 1) for tensors in zip(*pieces, strict=True)]
    return _equal(joined, full, torch.arange(plan.rows)) and _rows_agree(part, example, trial)


def _rounds_alike(plan: Plan, part: Plan, example: Call, trial: int) -> bool:
    """Whether such a block comes by the same numbers to what it gives."""
    block, whole, parts = probe_inputs(example, plan.rows, trial), Roundings(), Roundings()
    with whole:
        _run(plan, block, trial)
    with parts:
        _run_in_parts(part, block, trial)
    return whole.among(parts)


def _run_in_parts(part: Plan, block: Call, trial: int) -> list[list[Tensor]]:
    starts = range(0, block.rows, part.rows)
    return [_run(part, block.take(slice(at, at + part.rows)), trial) for at in starts]


def _holds(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except torch.OutOfMemoryError:
        raise
    except Exception:  # noqa: BLE001 - zeros may be no input (a length of 0), or there be room for fewer rows
        return False


def _rows_agree(plan: Plan, example: Call, trial: int) -> bool:
    """Whether rows keep their bits when they are rotated, reversed, and alone among zeros."""
    rows = torch.arange(plan.rows, device="cpu")
    block = probe_inputs(example, plan.rows, trial)
    full = _run(plan, block, trial)
    orders = [rows.roll(1), rows.flip(0), rows.roll(plan.rows // 2)]
    moved = all(_equal(_run(plan, block.take(order), trial), full, order) for order in orders)
    return moved and all(
        _equal([t[:, :1] for t in _run(plan, _alone(plan, block, row), trial)], full, rows[row : row + 1])
        for row in {0, plan.rows - 1}
    )


def _numbers_agree(plan: Plan, example: Call, trial: int) -> bool:
    """The same of rows that are reversed, or alone, and of all numbers on the way to their bits."""
    rows = torch.arange(plan.rows, device="cpu")
    block = probe_inputs(example, plan.rows, trial)
    one = _Watched(replace(plan, rows=1), block.take(rows[:1]), trial)
    full = _Watched(plan, block, trial, one)
    moved = _Watched(plan, block.take(rows.flip(0)), trial, one)
    if not (_equal(moved.outputs, full.outputs, rows.flip(0)) and moved.numbers.among(full.numbers)):
        return False
    ends = (0, plan.rows - 1)
    alone = [_Watched(plan, _alone(plan, block, row), trial, one) for row in ends]
    return all(
        _equal([t[:, :1] for t in each.outputs], full.outputs, rows[row : row + 1])
        and each.numbers.among(full.numbers, other.numbers)  # which has those of the zeros
        for each, other, row in zip(alone, alone[::-1], ends, strict=True)
    )


def _alone(plan: Plan, block: Call, row: int) -> Call:
    return block.take(slice(row, row + 1)).pad(plan.rows)


class _Watched:
    """The outputs of a block, and the numbers on the way; a pass that is watched may round otherwise."""

    def __init__(self, plan: Plan, block: Call, trial: int, of_one_row: "_Watched | None" = None) -> None:
        self.numbers: Roundings = Roundings(None if of_one_row is None else of_one_row.numbers)
        with self.numbers:
            self.outputs = _run(plan, block, trial)


def _run(plan: Plan, block: Call, trial: int) -> list[Tensor]:
    return block_outputs(plan, block, [[BlockKey(0, 0, trial)]], "philox-1")


def _equal(got: Sequence[Tensor], full: Sequence[Tensor], order: Tensor) -> bool:
    return all(torch.equal(a, b[:, order.to(b.device)]) for a, b in zip(got, full, strict=True))
