"""Prediction: the samples of a call, tile by tile, reduced to a predictive."""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, Final, Protocol

import torch
from torch import Tensor

from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.network import Network
from mcdrop.engine.sampling import Draw, Plan, block_groups, group_outputs, in_tiles, tile_call
from mcdrop.moments import Moments, RunningMoments, block_moments, merge, merge_all, standard_error
from mcdrop.predictive import Predictive, Sampled, Task
from mcdrop.predictive.predictive import common_notes
from mcdrop.predictive.tasks import only_output
from mcdrop.progress import Progress

__all__ = [
    "Laws",
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

_STRATIFIED: Final = "philox-1"


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
        return self.sampled.rng == _STRATIFIED


@dataclass(frozen=True)
class Summary:
    """What the samples of some rows come to.

    Attributes:
        total: Moments of the law over all samples.
        standard_error: (N, ...) of its mean.
        entropy: (N, ...) mean of the samples' entropies, where the task has them.
        samples: (S, N, ...) the samples, where they are needed.
    """

    total: Moments
    standard_error: Tensor
    entropy: Tensor | None
    samples: Tensor | None


@dataclass(frozen=True)
class Laws:
    """The laws of some samples.

    Attributes:
        law: (s, N, ...) float64, what is averaged.
        entropies: (s, N, ...) what else is averaged, where the task has it.
        dtype: Of the raw outputs.
    """

    law: Tensor
    entropies: Tensor | None
    dtype: torch.dtype

    @classmethod
    def of(cls, task: Task, raw: Tensor) -> "Laws":
        """Of raw outputs (s, N, ...)."""
        law = task.law(raw)
        return cls(law, task.entropies(law), raw.dtype)

    def head(self, count: int) -> "Laws":
        """Of the first samples."""
        entropies = None if self.entropies is None else self.entropies[:count]
        return Laws(self.law[:count], entropies, self.dtype)


class Summarized(Protocol):
    """The moments of some rows, in whatever form."""

    def summary(self, *, stratified: bool) -> Summary:
        """What they come to."""


@dataclass
class Reduction:
    """The moments of some rows, block by block.

    Attributes:
        blocks: Of the law, in order.
        entropies: Of the samples' entropies, where the task has them.
        laws: The samples of each block, where they are needed.
    """

    blocks: list[Moments] = field(default_factory=list)
    entropies: list[Moments] = field(default_factory=list)
    laws: list[Tensor] = field(default_factory=list)

    def add(self, task: Task, raw: Tensor, *, keep: bool) -> None:
        """Take in some whole blocks (or the cut last one) of raw outputs (s, N, ...)."""
        self.take_in(Laws.of(task, raw), keep=keep)

    def take_in(self, laws: Laws, *, keep: bool) -> None:
        """The same when the laws of the samples are known."""
        self.blocks += [block_moments(block) for block in laws.law.split(BLOCK)]
        if laws.entropies is not None:
            self.entropies += [block_moments(block) for block in laws.entropies.split(BLOCK)]
        if keep:
            self.laws += laws.law.to(laws.dtype).split(BLOCK)

    @property
    def samples(self) -> int:
        """How many there were."""
        return sum(block.count for block in self.blocks)

    @property
    def device(self) -> torch.device:
        """Where the moments are."""
        return self.blocks[0].mean.device

    def unknown(self, dtype: torch.dtype) -> Tensor:
        """(N, ...) NaN in place of the law of the pass in eval mode."""
        return torch.full_like(self.blocks[0].mean, math.nan, dtype=dtype)

    def head(self, blocks: int) -> "Reduction":
        """Of the first blocks."""
        return Reduction(self.blocks[:blocks], self.entropies[:blocks], self.laws[:blocks])

    def take(self, rows: Tensor | slice) -> "Reduction":
        """Of some of the rows."""
        return Reduction(
            [block.take(rows) for block in self.blocks],
            [block.take(rows) for block in self.entropies],
            [law[:, rows] for law in self.laws],
        )

    def followed_by(self, later: "Reduction") -> "Reduction":
        """With the blocks that come after these."""
        return Reduction(self.blocks + later.blocks, self.entropies + later.entropies, self.laws + later.laws)

    @staticmethod
    def joined(parts: "Sequence[Reduction]") -> "Reduction":
        """The rows of several reductions of the same blocks."""
        if len(parts) == 1:
            return parts[0]
        return Reduction(
            [Moments.join(each) for each in zip(*(part.blocks for part in parts), strict=True)],
            [Moments.join(each) for each in zip(*(part.entropies for part in parts), strict=True)],
            [torch.cat(each, 1) for each in zip(*(part.laws for part in parts), strict=True)],
        )

    def summary(self, *, stratified: bool) -> Summary:
        """What the blocks come to."""
        return Summary(
            merge_all(self.blocks),
            standard_error(self.blocks, stratified=stratified),
            merge_all(self.entropies).mean if self.entropies else None,
            torch.cat(self.laws) if self.laws else None,
        )


class Stream:
    """The moments of some rows over S samples, in memory that does not grow with S unless samples are kept.

    Args:
        wanted: What the prediction is to hold.
    """

    def __init__(self, wanted: Wanted) -> None:
        self._wanted = wanted
        self._law = RunningMoments(wanted.sampled.n_samples, stratified=wanted.stratified)
        self._entropy: Moments | None = None
        self._laws: list[Tensor] = []

    def add(self, raw: Tensor) -> None:
        """Take in some whole blocks (or the cut last one) of raw outputs (s, N, ...)."""
        new = Reduction()
        new.add(self._wanted.task, raw, keep=self._wanted.needs_samples)
        for law in new.blocks:
            self._law.add(law)
        for entropy in new.entropies:
            self._entropy = entropy if self._entropy is None else merge(self._entropy, entropy)
        self._laws += new.laws

    def summary(self, *, stratified: bool) -> Summary:  # noqa: ARG002 - the stream was told before
        """What the blocks come to."""
        return Summary(
            self._law.total,
            self._law.standard_error(),
            None if self._entropy is None else self._entropy.mean,
            torch.cat(self._laws) if self._laws else None,
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
    stream = Stream(wanted)
    for group in block_groups(plan, draw.n_samples):
        raw = picked(wanted.task, plan.network, group_outputs(plan, tile, draw, rows, group))
        stream.add(raw)
        progress.advance(count * len(raw))
    single = single_law(wanted.task, deterministic_output(plan, tile, wanted.task))
    return finish(stream, single, wanted, call.kept(rows))


def deterministic_output(plan: Plan, tile: Call, task: Task | None) -> Tensor:
    """(N, ...) raw outputs of the pass in eval mode."""
    with plan.network.inference():
        outputs = plan.network.deterministic_outputs(tile)
        return picked(task, plan.network, [tensor.unsqueeze(0) for tensor in outputs])[0]


def single_law(task: Task, deterministic: Tensor) -> Tensor:
    """(N, ...) the law of the pass in eval mode, in the dtype of its raw outputs (N, ...)."""
    return task.law(deterministic.clone().unsqueeze(0))[0].to(deterministic.dtype)


def finish(reduction: Summarized, deterministic: Tensor, wanted: Wanted, rows: int | None) -> Predictive:
    """The predictive that the moments of all samples give.

    Args:
        reduction: The moments.
        deterministic: (N, ...) what `single_law` gave; its dtype is that of the result.
        wanted: What it is to hold.
        rows: How many rows there are, None for all; those behind them are the padding of a tile.
    """
    dtype = deterministic.dtype
    found = reduction.summary(stratified=wanted.stratified)
    common: dict[str, Any] = {
        "sampled": wanted.sampled,
        "mean": found.total.mean.to(dtype),
        "sample_std": found.total.variance.sqrt().to(dtype),
        "standard_error": found.standard_error.to(dtype),
        "deterministic": deterministic,
        "kept_samples": found.samples if wanted.keep_samples else None,
        "levels": wanted.levels,
        "level_values": None,
        "notes": () if wanted.task.of_mean(found.total.m2)[:rows].any() else ("zero_variance",),
    }
    result = wanted.task.predictive(common, found.total.mean, found.entropy)
    if found.samples is not None and wanted.levels:
        result = result.with_quantiles(found.samples)
    return result[:rows]


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
    structure = network.rebuild(outputs)
    return only_output(structure) if task is None else task.pick(structure)
