"""Prediction: the samples of a call, tile by tile, reduced to a predictive."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import torch
from torch import Tensor

from mcdrop.errors import OptionError
from mcdrop.inputs import Call
from mcdrop.masks import BLOCK
from mcdrop.moments import Moments, block_moments, merge_all, standard_error
from mcdrop.network import Network
from mcdrop.predictive import Predictive, Sampled, Task
from mcdrop.sampling import Draw, Plan, tile_call, tile_outputs, tiles

__all__ = ["Wanted", "predict_call", "result_index"]

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


@dataclass
class Reduction:
    """The moments of some rows, block by block.

    Attributes:
        blocks: Of the law, in order.
        entropies: Of the samples' entropies, where the task has them.
        laws: The samples, where they are needed.
    """

    blocks: list[Moments] = field(default_factory=list)
    entropies: list[Moments] = field(default_factory=list)
    laws: list[Tensor] = field(default_factory=list)

    def add(self, task: Task, raw: Tensor, *, keep: bool) -> None:
        """Take in some whole blocks (or the cut last one) of raw outputs (s, N, ...)."""
        law = task.law(raw)
        self.blocks += [block_moments(block) for block in law.split(BLOCK)]
        entropies = task.entropies(law)
        if entropies is not None:
            self.entropies += [block_moments(block) for block in entropies.split(BLOCK)]
        if keep:
            self.laws.append(law.to(raw.dtype))


def predict_call(plan: Plan, call: Call, draw: Draw, wanted: Wanted) -> Predictive:
    """The predictive of all rows of a call."""
    parts = [predict_tile(plan, call, draw, wanted, rows) for rows in tiles(plan, call)]
    return type(parts[0]).concatenate(parts)


def predict_tile(plan: Plan, call: Call, draw: Draw, wanted: Wanted, rows: slice) -> Predictive:
    """The predictive of the rows of one tile."""
    tile = tile_call(plan, call, rows)
    which = result_index(plan.network)
    reduction = Reduction()
    for outputs in tile_outputs(plan, tile, draw, rows):
        reduction.add(wanted.task, outputs[which], keep=wanted.keep_samples or bool(wanted.levels))
    with torch.inference_mode():
        deterministic = plan.network.deterministic_outputs(tile)[which]
    return finish(reduction, deterministic, wanted, rows.stop - rows.start)


def finish(reduction: Reduction, deterministic: Tensor, wanted: Wanted, rows: int) -> Predictive:
    """The predictive that the moments of all samples give.

    Args:
        reduction: The moments.
        deterministic: (N, ...) raw outputs of the pass in eval mode.
        wanted: What it is to hold.
        rows: How many rows there are; those behind them are the padding of a tile.
    """
    dtype = deterministic.dtype
    total = merge_all(reduction.blocks)
    samples = torch.cat(reduction.laws) if reduction.laws else None
    common: dict[str, Any] = {
        "sampled": wanted.sampled,
        "mean": total.mean.to(dtype),
        "sample_std": total.variance.sqrt().to(dtype),
        "standard_error": standard_error(reduction.blocks, stratified=wanted.sampled.rng == _STRATIFIED).to(
            dtype
        ),
        "deterministic": wanted.task.law(deterministic.clone().unsqueeze(0))[0].to(dtype),
        "kept_samples": samples if wanted.keep_samples else None,
        "levels": wanted.levels,
        "level_values": None,
        "notes": () if total.m2[:rows].any() else ("zero_variance",),
    }
    entropy = merge_all(reduction.entropies).mean if reduction.entropies else None
    result = wanted.task.predictive(common, total.mean, entropy)
    if samples is not None and wanted.levels:
        result = result.with_quantiles(samples)
    return result[:rows]


def result_index(network: Network) -> int:
    """Which output of the network a prediction is about: the only one, or the one that is named `logits`.

    Raises:
        OptionError: If there are several and none is named so.
    """
    count = sum(axis is not False for axis in network.outputs.axes)
    if count == 1:
        return 0
    structure: Any = network.rebuild(list(range(count)))
    if isinstance(structure, Mapping) and isinstance(structure.get("logits"), int):
        return int(structure["logits"])
    raise OptionError(
        f"the model returns {count} tensors{_names(structure)} and none of them is named 'logits'; wrap it "
        "in a module that returns the one to predict from (mc.sample returns them all)"
    )


def _names(structure: Any) -> str:
    if isinstance(structure, Mapping):
        return " (" + ", ".join(map(str, structure)) + ")"
    return f" in a {type(structure).__name__}" if isinstance(structure, Sequence) else ""
