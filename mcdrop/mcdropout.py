"""`MCDropout`: a trained model with its dropout kept on, and what it says about each row."""

import os
from collections.abc import Collection, Mapping, Sequence
from itertools import count, islice
from os import PathLike
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
import torch
from torch import nn

from mcdrop.batches import Take, batches_of
from mcdrop.blocks import ExactBlocks
from mcdrop.checkpoint import (
    Architecture,
    Checkpoint,
    InputSpec,
    Manifest,
    checked_part,
    read_checkpoint,
    write_checkpoint,
)
from mcdrop.errors import DomainError, InputError, OptionError, ShapeError
from mcdrop.exact import probe_inputs
from mcdrop.fingerprint import environment, fingerprint_id
from mcdrop.inputs import BatchAxis, Call, as_call
from mcdrop.masks import RNGS
from mcdrop.philox import check_seed
from mcdrop.planning import Planned, Planner
from mcdrop.prediction import Wanted, predict_call
from mcdrop.predictive import TASKS, Predictive, Sampled, Task, task_named
from mcdrop.predictive.predictive import check_levels
from mcdrop.sampling import Draw, Plan, sample_tile, tiles
from mcdrop.saving import architecture_of, example_inputs, input_specs, model_card
from mcdrop.sensitivity import Sensitivity, measure_sensitivity
from mcdrop.sites import Site

__all__ = ["MCDropout", "load"]

_KEPT_BYTES: Final = 2**28
"""Samples beyond this size are dropped after a prediction unless `keep_samples` says otherwise."""


class MCDropout:
    """A trained model whose dropout stays on: stochastic passes, replayable, and their distribution.

    The model itself is left as it is. It may be used, moved or trained further at the same time.

    Args:
        model: Any module that draws: dropout of any kind, attention or recurrent dropout, its own noise.
        n_samples: Passes, unless a call says otherwise.
        seed: Of the masks, 0 to 2^63 - 1, unless a call says otherwise.
        task: `classification`, `binary`, `multilabel`, `regression` or `raw`. Without one, only `sample`
            works.
        masks: `consistent`: one mask for each sample, shared by all rows, so that each sample is one
            function. `independent`: each row has its own.
        output: What a classifier returns: `logits`, `probabilities` or `log_probabilities`.
        class_axis: The axis of the classes in (N, C, ...); -1 for models that return (N, T, C).
        tau: Noise precision of a regression, in 1 / squared units of y.
        batch_axis: The axis of the rows, one for all inputs or for each; None for an input that is not split.
        rng: `philox-1` (stratified over samples) or `philox-1-plain`.
        verify: Whether a plan is checked on the first input of each kind before it is used.

    Raises:
        InputError: If `model` is not a module.
        OptionError: If an option does not exist.
        DomainError: If a number lies outside its range.

    Source:
        Gal and Ghahramani 2016, "Dropout as a Bayesian approximation", arXiv:1506.02142.
    """

    def __init__(
        self,
        model: nn.Module,
        *,
        n_samples: int = 128,
        seed: int = 0,
        task: str | None = None,
        masks: str = "consistent",
        output: str = "logits",
        class_axis: int = 1,
        tau: float | None = None,
        batch_axis: BatchAxis = 0,
        rng: str = "philox-1",
        verify: bool = True,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise InputError(f"model must be a torch.nn.Module, got {type(model).__name__}")
        if masks not in ("consistent", "independent"):
            raise OptionError(f"masks must be 'consistent' or 'independent', got {masks!r}")
        if rng not in RNGS:
            raise OptionError(f"rng must be one of {', '.join(RNGS)}, got {rng!r}")
        self.model = model
        self.n_samples = _checked_count(n_samples, least=1)
        self.seed = check_seed(seed)
        self.task = task
        self.masks = masks
        self.output = output
        self.class_axis = class_axis
        self.tau = tau
        self.rng = rng
        self.batch_axis = batch_axis
        self.manifest: Manifest | None = None
        self.digest: str | None = None
        self._task = None if task is None else task_named(task, output=output, class_axis=class_axis, tau=tau)
        self._planner = Planner(model, verify=verify)

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint) -> Self:
        """The model of a checkpoint, with the task, defaults and exact mode that its manifest names."""
        manifest = checkpoint.manifest
        mc = cls(
            checkpoint.model,
            n_samples=manifest.sampling.n_samples,
            seed=manifest.sampling.seed,
            task=manifest.task,
            masks=manifest.sampling.masks,
            output=manifest.output,
            class_axis=manifest.class_axis,
            tau=manifest.tau,
            rng=manifest.sampling.rng,
        )
        mc.manifest, mc.digest = manifest, checkpoint.digest
        rows, strategy = manifest.exact.rows, manifest.exact.strategy
        mc._planner = Planner(checkpoint.model, exact_rows=rows, exact_strategy=strategy)
        return mc

    @property
    def sites(self) -> tuple[Site, ...]:
        """What is random, where and with which rate; known after the first call or `trace`.

        Raises:
            OptionError: If nothing was traced yet.
        """
        return tuple(self.plan.network.sites.values())

    @property
    def plan(self) -> Planned:
        """The latest plan: its network with the sites, its strategy, and what was verified.

        Raises:
            OptionError: If nothing was traced yet.
        """
        if self._planner.latest is None:
            raise OptionError("nothing was traced yet; call mc.trace(x) with some inputs first")
        return self._planner.latest

    def trace(
        self, *inputs: Any, model_kwargs: dict[str, Any] | None = None, **model_inputs: Any
    ) -> tuple[Site, ...]:
        """Find the random calls of the model for inputs like these.

        Args:
            *inputs: What the model takes.
            model_kwargs: Inputs by name.
            **model_inputs: Inputs by name.

        Raises:
            NothingRandomError: If nothing is random.
            UnsupportedModelError: If the model cannot be sampled.
        """
        self._planner.planned(self._call(inputs, model_kwargs, model_inputs))
        return self.sites

    def sample(
        self,
        *inputs: Any,
        n_samples: int | None = None,
        seed: int | None = None,
        exact: bool = False,
        row_ids: Sequence[int] | None = None,
        model_kwargs: dict[str, Any] | None = None,
        **model_inputs: Any,
    ) -> Any:
        """Outputs of the model under n_samples masks.

        Args:
            *inputs: Tensors or arrays for the model; a mapping is unpacked if `forward` names its keys.
            n_samples: S; by default that of this object.
            seed: By default that of this object.
            exact: Compute in blocks of a fixed shape, so that the bits do not depend on the other rows.
            row_ids: (N,) ids of the rows; with independent masks only, by default 0 to N - 1.
            model_kwargs: Inputs by name whose names collide with those above.
            **model_inputs: Inputs by name.

        Returns:
            (S, N, ...) raw outputs; where the model returns a structure, the same with such tensors in it.

        Raises:
            NothingRandomError: If nothing is random.
            UnsupportedModelError: If the model cannot be sampled.
            ShapeError: If the inputs do not have the same number of rows.
        """
        call = self._call(inputs, model_kwargs, model_inputs)
        draw = self._draw(call.rows, n_samples, seed, row_ids, least=1)
        plan = self._plan(call, exact=exact)
        parts = [sample_tile(plan, call, draw, rows) for rows in tiles(plan, call)]
        return plan.network.rebuild([torch.cat(tensors, 1) for tensors in zip(*parts, strict=True)])

    def predict(
        self,
        *inputs: Any,
        n_samples: int | None = None,
        seed: int | None = None,
        exact: bool = False,
        row_ids: Sequence[int] | None = None,
        quantiles: Sequence[float] | None = None,
        keep_samples: bool | None = None,
        take: Take = None,
        model_kwargs: dict[str, Any] | None = None,
        **model_inputs: Any,
    ) -> Predictive:
        """The predictive distribution of each row.

        Args:
            *inputs: What the model takes; or one `DataLoader` or iterator of batches.
            n_samples: S, at least 2; by default that of this object.
            seed: By default that of this object.
            exact: Compute in blocks of a fixed shape, so that the bits do not depend on the other rows.
            row_ids: (N,) ids of the rows; with independent masks only, by default 0 to N - 1.
            quantiles: Levels in (0, 1) that are wanted even if the samples are dropped.
            keep_samples: Whether the result holds the samples; by default up to 256 MiB of them for a call.
            take: Of a loader's batches that are tuples or mappings: which entries the model takes.
            model_kwargs: Inputs by name whose names collide with those above.
            **model_inputs: Inputs by name.

        Returns:
            The predictive of the task, on the device of the model.

        Raises:
            OptionError: If this object has no task.
            NothingRandomError: If nothing is random.
            UnsupportedModelError: If the model cannot be sampled.
            ShapeError: If the inputs do not have the same number of rows.
        """
        task = self._checked_task()
        levels = check_levels(() if quantiles is None else quantiles)
        parts: list[Predictive] = []
        ids = count() if row_ids is None else iter(row_ids)
        for batch in batches_of(inputs, take):
            call = self._call(batch, model_kwargs, model_inputs)
            given = (
                list(islice(ids, call.rows)) if self.masks == "independent" or row_ids is not None else None
            )
            draw = self._draw(call.rows, n_samples, seed, given, least=2)
            plan = self._plan(call, exact=exact)
            keep = keep_samples
            if keep is None:
                keep = _few_enough(plan, draw, sum(map(len, parts)) + call.rows)
            sampled = Sampled(draw.n_samples, draw.seed, self.masks, self.rng, exact)
            parts.append(predict_call(plan, call, draw, Wanted(task, levels, keep, sampled)))
        if not parts:
            raise InputError("the loader gave no batches")
        rows = sum(map(len, parts))
        if row_ids is not None and len(row_ids) != rows:
            raise ShapeError(f"row_ids must have one id for each of the {rows} rows, got {len(row_ids)}")
        return type(parts[0]).concatenate(parts)

    def sensitivity(
        self,
        *inputs: Any,
        n_samples: int | None = None,
        seed: int | None = None,
        model_kwargs: dict[str, Any] | None = None,
        **model_inputs: Any,
    ) -> Sensitivity:
        """Which sites carry the variance: each alone on, each alone off, under the same masks.

        Args:
            *inputs: What the model takes.
            n_samples: S, at least 32, rounded up to whole blocks of 16; by default that of this object.
            seed: By default that of this object.
            model_kwargs: Inputs by name whose names collide with those above.
            **model_inputs: Inputs by name.

        Raises:
            DomainError: If there are fewer than 32 samples.
            NothingRandomError: If nothing is random.
            UnsupportedModelError: If the model cannot be sampled.
        """
        call = self._call(inputs, model_kwargs, model_inputs)
        ids = range(call.rows) if self.masks == "independent" else None
        draw = self._draw(call.rows, n_samples, seed, ids, least=1)
        return measure_sensitivity(self.model, self._planner.planned(call), call, draw, self._task)

    def exact_blocks(self, *inputs: Any, **model_inputs: Any) -> ExactBlocks:
        """The blocks of exact mode for inputs like these, for a server that fills them from many requests.

        Args:
            *inputs: What the model takes.
            **model_inputs: Inputs by name.
        """
        return ExactBlocks(self._planner.exact(self._call(inputs, None, model_inputs)), self.rng)

    def as_call(self, *inputs: Any, **model_inputs: Any) -> Call:
        """The call that these inputs mean, for `ExactBlocks`."""
        return self._call(inputs, None, model_inputs)

    def wanted(
        self, n_samples: int, seed: int, *, quantiles: Sequence[float] = (), keep_samples: bool = False
    ) -> Wanted:
        """What a predictive of exact mode is to hold, for `ExactBlocks.assemble`.

        Raises:
            OptionError: If this object has no task.
        """
        sampled = Sampled(
            _checked_count(n_samples, least=2), check_seed(seed), self.masks, self.rng, exact=True
        )
        return Wanted(self._checked_task(), check_levels(quantiles), keep_samples, sampled)

    def fingerprint(self) -> dict[str, Any]:
        """Everything outside of model, input and seed that the bits of an answer depend on.

        Raises:
            OptionError: If nothing was traced yet, and this is no loaded checkpoint.
        """
        plan = self._planner.exact(self._known_call())
        return {
            **environment(plan.network.device),
            "rng": self.rng,
            "masks": self.masks,
            "strategy": plan.strategy,
            "rows": plan.rows,
        }

    def fingerprint_id(self) -> str:
        """The first 16 hexadecimal digits of the hash of the fingerprint; in every answer of the service."""
        return fingerprint_id(self.fingerprint())

    def save(
        self,
        path: str | PathLike[str],
        *,
        architecture: str | Architecture | None = None,
        overwrite: bool = False,
        name: str | None = None,
        readme: str | None = None,
        **facts: Any,
    ) -> None:
        """Write a checkpoint that `mcdrop.load` and the service read.

        Args:
            path: A new directory.
            architecture: `package.module:factory`; models of `mcdrop.zoo` carry theirs.
            overwrite: Replace the checkpoint in an existing directory.
            name: Of the model; by default the last part of `path`.
            readme: The model card.
            **facts: Further fields of the manifest: `inputs`, `outputs`, `classes`, `training`, `scores`, ...

        Raises:
            OptionError: If there is no task, or the inputs were neither traced nor described.
            CheckpointError: If the path exists, or the model cannot be saved.
        """
        if self.task is None:
            raise OptionError("a checkpoint needs a task; make the object with MCDropout(model, task=...)")
        manifest = self._manifest(path, architecture, name, facts)
        write_checkpoint(
            path, manifest, self.model, readme=readme or model_card(manifest), overwrite=overwrite
        )

    def _call(
        self,
        inputs: tuple[Any, ...],
        model_kwargs: Mapping[str, Any] | None,
        model_inputs: Mapping[str, Any] | None = None,
    ) -> Call:
        return as_call(self.model, inputs, {**(model_inputs or {}), **(model_kwargs or {})}, self.batch_axis)

    def _draw(
        self, rows: int, n_samples: int | None, seed: int | None, row_ids: Sequence[int] | None, *, least: int
    ) -> Draw:
        samples = _checked_count(self.n_samples if n_samples is None else n_samples, least=least)
        if row_ids is not None and self.masks == "consistent":
            raise OptionError(
                "row_ids belong to masks='independent'; with consistent masks all rows share theirs"
            )
        if row_ids is not None and len(row_ids) != rows:
            raise ShapeError(f"row_ids must have one id for each of the {rows} rows, got {len(row_ids)}")
        ids = (
            None
            if self.masks == "consistent"
            else [check_seed(i) for i in (range(rows) if row_ids is None else row_ids)]
        )
        return Draw(self.seed if seed is None else check_seed(seed), samples, self.rng, ids)

    def _plan(self, call: Call, *, exact: bool) -> Plan:
        return self._planner.exact(call) if exact else self._planner.fast(call)

    def _checked_task(self) -> Task:
        if self._task is None:
            names = ", ".join(TASKS)
            raise OptionError(
                f"predict needs a task: MCDropout(model, task=...) with one of {names}; sample does not"
            )
        return self._task

    def _known_call(self) -> Call:
        """Inputs for which exact mode can be described: of the checkpoint, or the latest that were traced."""
        if self.manifest is None:
            return self.plan.example
        return self._synthetic_call(self.manifest.inputs)

    def _synthetic_call(self, specs: Sequence[InputSpec]) -> Call:
        """Inputs that fit a checkpoint, the same everywhere."""
        call = self._call(*_as_arguments(example_inputs(specs)))
        return probe_inputs(call, call.rows, trial=0)

    def _manifest(
        self,
        path: str | PathLike[str],
        architecture: str | Architecture | None,
        name: str | None,
        facts: dict[str, Any],
    ) -> Manifest:
        where = architecture_of(self.model, architecture)
        specs = facts.pop("inputs", None) or input_specs(self.plan.example)
        plan = self._planner.exact(self._synthetic_call(specs))
        described = {
            "name": name or Path(path).name,
            "task": self.task,
            "output": self.output,
            "class_axis": self.class_axis,
            "architecture": where,
            "inputs": specs,
            "sampling": {
                "n_samples": self.n_samples,
                "seed": self.seed,
                "masks": self.masks,
                "rng": self.rng,
            },
            "exact": {"rows": plan.rows, "strategy": plan.strategy},
            "tau": self.tau,
        }
        return checked_part(Manifest, **{**described, **facts})


def load(
    path: str | PathLike[str],
    *,
    allow: Collection[str] = (),
    device: str | torch.device | None = None,
    dtype: torch.dtype | None = None,
) -> MCDropout:
    """Load a checkpoint.

    Args:
        path: Its directory, such as `models/digits`; `models/digits@1` pins a version.
        allow: Top-level packages whose factories may be called to build the model.
        device: Where the model runs; by default the environment's MCDROP_DEVICE, or the CPU.
        dtype: Of its parameters, if not the saved one.

    Returns:
        The model with the task, defaults and exact mode that the checkpoint names.

    Raises:
        CheckpointError: If anything in it is missing, was changed, is unsafe, or does not fit together.
    """
    checkpoint = read_checkpoint(path, allow=allow)
    checkpoint.model.to(device or os.environ.get("MCDROP_DEVICE", "cpu"), dtype)
    return MCDropout.of_checkpoint(checkpoint)


def _as_arguments(inputs: Mapping[str, torch.Tensor]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A single input goes by position, since its name in a checkpoint need not be that in `forward`."""
    return (tuple(inputs.values()), {}) if len(inputs) == 1 else ((), dict(inputs))


def _few_enough(plan: Plan, draw: Draw, rows: int) -> bool:
    """Whether the samples of all rows so far may stay where the call does not say."""
    return plan.network.row_bytes * rows * draw.n_samples <= _KEPT_BYTES


def _checked_count(n_samples: object, *, least: int) -> int:
    if isinstance(n_samples, bool) or not isinstance(n_samples, int | np.integer) or n_samples < least:
        raise DomainError(f"n_samples must be an integer of at least {least}, got {n_samples!r}")
    return int(n_samples)
