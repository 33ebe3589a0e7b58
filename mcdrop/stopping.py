"""As many samples as a tolerance takes: rows stop one by one, when the error of their mean is small enough.

After 32 samples, and after every whole block of 16 from then on, a row whose Monte Carlo standard error is at
or below the tolerance in every element stops; so does every row that took the most. A row that took k samples
has the moments that n_samples=k gives. Rows are computed in rounds, so that the rows which go on are packed
into full tiles again; what a round computed for a row that stopped within it is dropped. An input that is
not split (a graph) is computed whole until the last of its rows stops.

Alphabet: N rows of a call (of its outputs, if it is not split), A rows of them that go on, B blocks so far.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

import torch
from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.sampling import Draw, Plan, group_outputs, in_tiles, tile_call, tiles
from mcdrop.moments import UNGROUPED, RunningMoments
from mcdrop.prediction import (
    Reduction,
    Wanted,
    deterministic_output,
    finish,
    gathered,
    picked,
    single_law,
)
from mcdrop.predictive import Predictive
from mcdrop.progress import Progress
from mcdrop.settings import LEAST_SAMPLES

__all__ = ["Stopping", "predict_until"]

_LEAST_BLOCKS: Final = LEAST_SAMPLES // BLOCK
_MOST_TILES: Final = 16
"""How many tiles make a set of rows that is packed anew after every round."""
_SET_BYTES: Final = 2**26
"""What the moments of a set may hold, unless a single tile holds more."""


@dataclass(frozen=True)
class _Rows:
    """Rows that go on.

    Attributes:
        index: (A,) their places in the call.
        reduction: Their moments, block by block.
        tested: Moments of the blocks after which they did not stop.
        tests: How many blocks these are.
    """

    index: Tensor
    reduction: Reduction
    tested: RunningMoments
    tests: int = 0

    def take(self, rows: Tensor) -> "_Rows":
        """Some of them."""
        return _Rows(self.index[rows], self.reduction.take(rows), self.tested.take(rows), self.tests)

    def after(self, blocks: int, *, stratified: bool) -> "_Rows":
        """The same, tested after so many blocks."""
        head = self.reduction.blocks.head(blocks)
        if blocks * BLOCK > UNGROUPED:  # a group that grows by a block has another mean
            tested = RunningMoments.of(head, stratified=stratified)
        else:
            tested = self.tested.followed_by(head.since(self.tests))
        return _Rows(self.index, self.reduction, tested, blocks)


@dataclass(frozen=True, eq=False)
class Stopping:
    """Rows on their way to a tolerance: those that go on, and those that stopped.

    Attributes:
        deterministic: (N, ...) raw outputs of the pass in eval mode.
        wanted: What the result is to hold; its `sampled` has the tolerance, and the most that a row takes.
        plan: Results are made in its tiles.
        whole: Whether the input was not split: all rows are one tile, whatever the plan says.
    """

    deterministic: Tensor
    wanted: Wanted
    plan: Plan
    whole: bool
    _rows: _Rows
    _done: tuple[tuple[_Rows, int], ...] = ()

    @classmethod
    def of(
        cls, first: Reduction, deterministic: Tensor, wanted: Wanted, plan: Plan, *, whole: bool = False
    ) -> "Stopping":
        """Rows that took their first blocks."""
        index = torch.arange(len(deterministic), device="cpu")
        rows = _Rows(index, first, RunningMoments(UNGROUPED, stratified=wanted.stratified))
        return _tested(cls(deterministic, wanted, plan, whole, rows), since=0)

    @property
    def going(self) -> Tensor:
        """(A,) places of the rows that go on, in order."""
        return self._rows.index

    @property
    def blocks(self) -> int:
        """Blocks that they have taken."""
        return len(self._rows.reduction.blocks)

    def after(self, new: Reduction) -> "Stopping":
        """The same with some more blocks.

        Args:
            new: Of the rows that go on, in their order. A block that a row does not need is dropped.
        """
        reduction = Reduction.chain([self._rows.reduction, new])
        return _tested(replace(self, _rows=replace(self._rows, reduction=reduction)), since=self.blocks)

    def stopped(self, blocks: int) -> "Stopping":
        """The same without the rows for which so many blocks are enough."""
        rows = self._rows.after(blocks, stratified=self.wanted.stratified)
        stops = self._stops(rows, blocks)
        if not stops.any():
            return replace(self, _rows=rows)
        found = rows.take(stops)
        return replace(
            self,
            _rows=rows.take(~stops),
            _done=(*self._done, (found, blocks)),
        )

    @property
    def tile_count(self) -> int:
        """How many `tiles` gives."""
        return sum(-(-len(found.index) // self._tile_rows(found)) for found, _ in self._done)

    def tiles(self) -> Iterator[Predictive]:
        """Of some rows at a time, when none goes on: what `joined` joins. Many quantiles of one take long."""
        for found, blocks in self._done:
            yield from self._finished(found, blocks)

    def joined(self, tiles: Sequence[Predictive]) -> Predictive:
        """Of all rows, in their order.

        Args:
            tiles: All of them.
        """
        order = torch.cat([found.index for found, _ in self._done])
        return type(tiles[0]).concatenate(tiles)[order.argsort()]

    def predictive(self) -> Predictive:
        """Of all rows, when none goes on."""
        return self.joined(list(self.tiles()))

    def _stops(self, rows: _Rows, blocks: int) -> Tensor:
        """(A,) bool: which rows stop."""
        if blocks * BLOCK >= self.wanted.sampled.n_samples:
            return torch.ones(len(rows.index), dtype=torch.bool, device="cpu")
        return self._reached(rows)

    def _reached(self, rows: _Rows) -> Tensor:
        """(A,) bool: whether the error of every element of a row is small enough; NaN is not."""
        error = self.wanted.task.of_mean(rows.tested.standard_error())
        small = error <= (self.wanted.sampled.tolerance or 0.0)
        return small.unsqueeze(1).flatten(1).all(1).cpu()

    def _tile_rows(self, rows: _Rows) -> int:
        return len(rows.index) if self.whole else self.plan.rows

    def _finished(self, rows: _Rows, blocks: int) -> Iterator[Predictive]:
        """Predictives of rows that stopped, in tiles of the shape in which their samples were computed."""
        reached, reduction = self._reached(rows), rows.reduction.head(blocks)
        tile_rows = self._tile_rows(rows)
        for places in torch.arange(len(rows.index), device="cpu").split(tile_rows):
            count, converged = len(places), reached[places].to(self.deterministic.device)
            # the bits of entropies may depend on the shape of the tensor
            padding = tile_rows - count if self.plan.exact else 0
            tile = torch.cat([places, places[-1:].expand(padding)])
            raw = self.deterministic[rows.index[tile].to(self.deterministic.device)]
            law = single_law(self.wanted.task, raw)
            summary = reduction.take(tile).summary(stratified=self.wanted.stratified)
            found = finish(summary, law, self.wanted, count)
            notes = found.notes if converged.all() else (*found.notes, "not_converged")
            taken = torch.full((count,), reduction.samples, device=law.device)
            yield replace(found, taken=taken, converged=converged, notes=notes)


def _tested(rows: Stopping, *, since: int) -> Stopping:
    """The same without the rows that stop at a number of blocks above `since`."""
    for blocks in range(max(since + 1, _LEAST_BLOCKS), rows.blocks + 1):
        rows = rows.stopped(blocks)
    return rows


def predict_until(plan: Plan, call: Call, draw: Draw, wanted: Wanted, progress: Progress) -> Predictive:
    """The predictive of all rows of a call, each with as many samples as its tolerance takes.

    Args:
        plan: How.
        call: The rows.
        draw: Which masks; its n_samples is the most that a row takes.
        wanted: What the result is to hold, but for the samples; its `sampled` has the tolerance.
        progress: Counts the passes; those that a row does not need count as done when it stops.
    """
    several = replace(plan, rows=plan.rows * _tiles_of_a_set(plan, draw))
    sets = (
        (rows, _Set(plan, call.take(rows), draw.take(range(call.rows)[rows]), wanted, progress).predictive())
        for rows in tiles(several, call)
    )
    return gathered(sets, call.rows)


@dataclass(frozen=True)
class _Set:
    """Rows that are packed together."""

    plan: Plan
    call: Call
    draw: Draw
    wanted: Wanted
    progress: Progress

    def predictive(self) -> Predictive:
        """Of all its rows."""
        deterministic, groups = self._deterministic(), self._groups()
        going, group = torch.arange(len(deterministic), device="cpu"), next(groups)
        first = self._moments(group, going)
        rows = Stopping.of(first, deterministic, self.wanted, self.plan, whole=self.call.whole)
        self._count_saved(going, rows.going, group)
        while len(going := rows.going):
            group = next(groups)
            rows = rows.after(self._moments(group, going))
            self._count_saved(going, rows.going, group)
        return rows.predictive()

    def _count_saved(self, before: Tensor, after: Tensor, group: range) -> None:
        """Passes of the rows that stopped in these blocks are not computed any more."""
        stopped = int(not len(after)) if self.call.whole else len(before) - len(after)
        self.progress.advance(stopped * max(self.draw.n_samples - group.stop * BLOCK, 0))

    def _groups(self) -> Iterator[range]:
        """Blocks that run together: at most as many as there were before, so that little is dropped."""
        blocks, start = -(-self.draw.n_samples // BLOCK), 0
        while start < blocks:
            stop = min(start + min(self.plan.blocks, max(start, _LEAST_BLOCKS)), blocks)
            yield range(start, stop)
            start = stop

    def _moments(self, group: range, going: Tensor) -> Reduction:
        """Of some blocks of the rows that go on."""
        part = self.call if len(going) == self.call.rows else self.call.take(going)
        own = going if self.call.whole else slice(None)
        draw = self.draw.take(going.tolist())

        def tile(plan: Plan, rows: slice) -> Reduction:
            inputs = tile_call(plan, part, rows)
            raw = picked(self.wanted.task, plan.network, group_outputs(plan, inputs, draw, rows, group))
            reduction = Reduction.of(self.wanted.task, raw, keep=bool(self.wanted.levels))
            self.progress.advance((rows.stop - rows.start) * len(raw))
            return reduction.take(slice(part.kept(rows))).take(own)

        return Reduction.join([found for _, found in in_tiles(self.plan, part, tile, self.progress)])

    def _deterministic(self) -> Tensor:
        def tile(plan: Plan, rows: slice) -> Tensor:
            found = deterministic_output(plan, tile_call(plan, self.call, rows), self.wanted.task)
            return found[: self.call.kept(rows)]

        return torch.cat([found for _, found in in_tiles(self.plan, self.call, tile, self.progress)])


def _tiles_of_a_set(plan: Plan, draw: Draw) -> int:
    """As many as keep the moments of all blocks small: two numbers in float64 for each element."""
    tile = plan.rows * plan.network.outputs.row_bytes * 4 * (draw.n_samples // BLOCK)
    return min(max(_SET_BYTES // tile, 1), _MOST_TILES)
