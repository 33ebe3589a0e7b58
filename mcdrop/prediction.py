"""Prediction: the samples of a call, tile by tile, reduced to a predictive."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.blockmoments import BlockMoments, block_moments
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK, is_stratified
from mcdrop.engine.network import Network
from mcdrop.engine.sampling import Draw, Plan, block_groups, group_outputs, in_tiles, tile_call
from mcdrop.moments import RunningMoments
from mcdrop.predictive import Predictive, Sampled, Task
from mcdrop.predictive.predictive import common_notes, spread_notes
from mcdrop.predictive.tasks import only_output
from mcdrop.progress import Progress

__all__ = [
    "Reduction",
    "Summary",
    "Wanted",
    "deterministic_output",
    "finish",
    "gathered",
    "picked",
    "predict_call",
    "single_law",
]


@dataclass(frozen=True)
class Wanted:
    """What a prediction is to hold.

    Attributes:
        task: What the outputs mean.
        levels: Quantile levels.
        keep_samples: Whether the samples stay.
        sampled: What the result says of its samples.
    """

    task: Task
    levels: tuple[float, ...]
    keep_samples: bool
    sampled: Sampled

    @property
    def needs_samples(self) -> bool:
        """Whether the samples of a tile must be at hand when it is done."""
        return self.keep_samples or bool(self.levels)

    @property
    def stratified(self) -> bool:
        """Whether the samples of a block are."""
        return is_stratified(self.sampled.rng)


@dataclass(slots=True)
class Summary:
    """What the samples of some rows come to. Never changed.

    Attributes:
        figures: (3, N, ...) of the law over all samples: mean, standard deviation and standard error.
        entropy: (N, ...) mean of the samples' entropies, where the task has them.
        samples: (S, N, ...) the samples, where they are needed.
    """

    figures: Tensor
    entropy: Tensor | None
    samples: Tensor | None


@dataclass(slots=True)
class Reduction:
    """The moments of some rows, block by block. Never changed.

    Attributes:
        blocks: Of the law, and of the samples' entropies where the task has them.
        laws: The samples of each block, where they are needed.
    """

    blocks: BlockMoments
    laws: tuple[Tensor, ...]

    @classmethod
    def of(cls, task: Task, raw: Tensor, *, keep: bool) -> "Reduction":
        """Of raw outputs (s, N, ...) of whole blocks (and the cut last one); with `keep` the samples too."""
        law = task.law(raw)
        entropies = task.entropies(law)
        blocks = block_moments(law) if entropies is None else block_moments(law, entropies)
        return cls(blocks, law.to(raw.dtype).split(BLOCK) if keep else ())

    @property
    def samples(self) -> int:
        """How many there were."""
        return sum(self.blocks.counts)

    def head(self, blocks: int) -> "Reduction":
        """Of the first blocks."""
        return Reduction(self.blocks.head(blocks), self.laws[:blocks])

    def take(self, rows: Tensor | slice) -> "Reduction":
        """Of some of the rows."""
        if isinstance(rows, Tensor) and self.laws:
            rows = rows.to(self.laws[0].device)
        return Reduction(self.blocks.take(rows), tuple(law[:, rows] for law in self.laws))

    @staticmethod
    def chain(parts: "Sequence[Reduction]") -> "Reduction":
        """The blocks of several reductions of the same rows, one after the other."""
        if len(parts) == 1:
            return parts[0]
        blocks = BlockMoments.chain([part.blocks for part in parts])
        return Reduction(blocks, tuple(law for part in parts for law in part.laws))

    @staticmethod
    def join(parts: "Sequence[Reduction]") -> "Reduction":
        """The rows of several reductions of the same blocks, one after the other."""
        if len(parts) == 1:
            return parts[0]
        blocks = BlockMoments.join([part.blocks for part in parts])
        laws = zip(*(part.laws for part in parts), strict=True)
        return Reduction(blocks, tuple(torch.cat(each, 1) for each in laws))

    def summary(self, *, stratified: bool) -> Summary:
        """What the blocks come to."""
        return _summary(self._moments(stratified=stratified), self.laws)

    def outputs(self, wanted: Wanted, dtype: torch.dtype) -> Mapping[str, NDArray[Any]]:
        """Outputs of the predictive that `finish` gives, and its `sample_std`, without making it.

        Args:
            wanted: What the predictive would hold.
            dtype: Of the raw outputs.

        Returns:
            Those that few numbers of this task can tell, by name; perhaps none.
        """
        shape, *others = self.blocks.shapes
        if not isinstance(self.blocks.mean, np.ndarray) or len(shape) != 1 or not others:
            return {}
        moments = self._moments(stratified=wanted.stratified)
        return wanted.task.outputs(moments.figures(), moments.mean(1)[:, 0], dtype)

    def _moments(self, *, stratified: bool) -> RunningMoments:
        return RunningMoments.of(self.blocks, stratified=stratified)


class Stream:
    """The moments of some rows over S samples, in memory that does not grow with S unless samples are kept.

    Args:
        samples: S.
        stratified: Whether the samples of a block are.
    """

    def __init__(self, samples: int, *, stratified: bool) -> None:
        self._moments = RunningMoments(samples, stratified=stratified)
        self._laws: list[Tensor] = []

    def add(self, new: Reduction) -> None:
        """Take in the next blocks."""
        self._moments.add(new.blocks)
        self._laws += new.laws

    def summary(self) -> Summary:
        """What all blocks come to."""
        return _summary(self._moments, self._laws)


def _summary(moments: RunningMoments, laws: Sequence[Tensor]) -> Summary:
    return Summary(
        moments.tensor(moments.figures()),
        moments.tensor(moments.mean(1), 1) if moments.quantities > 1 else None,
        torch.cat(list(laws)) if laws else None,
    )


def predict_call(plan: Plan, call: Call, draw: Draw, wanted: Wanted, progress: Progress) -> Predictive:
    """The predictive of all rows of a call."""
    tile = partial(predict_tile, call=call, draw=draw, wanted=wanted, progress=progress)
    return gathered(in_tiles(plan, call, tile, progress), call.rows)


def predict_tile(
    plan: Plan, rows: slice, *, call: Call, draw: Draw, wanted: Wanted, progress: Progress
) -> Predictive:
    """The predictive of the rows of one tile."""
    tile, count = tile_call(plan, call, rows), rows.stop - rows.start
    stream = Stream(wanted.sampled.n_samples, stratified=wanted.stratified)
    for group in block_groups(plan, draw.n_samples):
        raw = picked(wanted.task, plan.network, group_outputs(plan, tile, draw, rows, group))
        stream.add(Reduction.of(wanted.task, raw, keep=wanted.needs_samples))
        progress.advance(count * len(raw))
    single = single_law(wanted.task, deterministic_output(plan, tile, wanted.task))
    return finish(stream.summary(), single, wanted, call.kept(rows))


def deterministic_output(plan: Plan, tile: Call, task: Task | None) -> Tensor:
    """(N, ...) raw outputs of the pass in eval mode."""
    with plan.network.inference():
        outputs = plan.network.deterministic_outputs(tile)
        return picked(task, plan.network, [tensor.unsqueeze(0) for tensor in outputs])[0]


def single_law(task: Task, deterministic: Tensor) -> Tensor:
    """(N, ...) the law of the pass in eval mode, in the dtype of its raw outputs (N, ...)."""
    return task.law(deterministic.clone().unsqueeze(0))[0].to(deterministic.dtype)


def finish(found: Summary, deterministic: Tensor, wanted: Wanted, rows: int | None) -> Predictive:
    """The predictive that the moments of all samples give.

    Args:
        found: The moments.
        deterministic: (N, ...) what `single_law` gave; its dtype is that of the result.
        wanted: What it is to hold.
        rows: How many rows there are, None for all; those behind them are the padding of a tile.
    """
    mean, std, error = found.figures.to(dtype=deterministic.dtype).unbind()
    common: dict[str, Any] = {
        "sampled": wanted.sampled,
        "mean": mean,
        "sample_std": std,
        "standard_error": error,
        "deterministic": deterministic,
        "kept_samples": found.samples if wanted.keep_samples else None,
        "levels": wanted.levels,
        "level_values": None,
        "notes": spread_notes([wanted.task.of_mean(std)[:rows].amax().item()]),
    }
    result = wanted.task.predictive(common, found.figures[0], found.entropy)
    if rows not in (None, len(result)):
        result = result[:rows]
    if found.samples is None or not wanted.levels:
        return result
    return result.with_quantiles(found.samples[:, :rows])


def gathered(parts: Iterable[tuple[slice, Predictive]], rows: int) -> Predictive:
    """The predictive of all rows, from those of its tiles, which need not all be in memory.

    Args:
        parts: The rows of each tile, and their predictive.
        rows: N.
    """
    pending = iter(parts)
    where, first = next(pending)
    if where.stop == rows:
        return first
    columns = {
        name: tensor.new_empty((*tensor.shape[:axis], rows, *tensor.shape[axis + 1 :]))
        for name, tensor, axis in _held(first)
    }
    notes = [first.notes]
    _fill(columns, where, first)
    for place, predictive in pending:
        _fill(columns, place, predictive)
        notes.append(predictive.notes)
    filled: dict[str, Any] = columns
    return replace(first, notes=common_notes(notes), **filled)


def _held(predictive: Predictive) -> Iterator[tuple[str, Tensor, int]]:
    return ((name, tensor, axis) for name, tensor, axis in predictive.row_tensors() if tensor is not None)


def _fill(columns: Mapping[str, Tensor], where: slice, predictive: Predictive) -> None:
    for name, tensor, axis in _held(predictive):
        columns[name].narrow(axis, where.start, where.stop - where.start).copy_(tensor)


def picked(task: Task | None, network: Network, outputs: list[Tensor]) -> Tensor:
    """(s, N, ...) the raw outputs that a prediction is about.

    Args:
        task: What the outputs mean; None for the only one.
        network: That made them.
        outputs: Tensors (s, N, ...), one for each output of the network.

    Raises:
        OptionError: If there are several, and it is not clear which.
    """
    structure = network.outputs.rebuild(outputs)
    return only_output(structure) if task is None else task.pick(structure)
