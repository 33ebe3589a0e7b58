"""`MCDropout`: a trained model with its dropout kept on, and what it says about each row."""

import copy
from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any, Final, Literal, NoReturn, Self

from torch import nn

from mcdrop.batches import Take, batches_of, is_loader, loader_rows
from mcdrop.blocks import ExactBlocks
from mcdrop.calibration.fitted import Calibrator
from mcdrop.checkpoint import Architecture, Checkpoint, InputSpec, Manifest, write_checkpoint
from mcdrop.engine.admission import check_module
from mcdrop.engine.budget import Budget, Load
from mcdrop.engine.fingerprint import environment, fingerprint_id
from mcdrop.engine.inputs import BatchAxis, Call, as_call, rows_lead
from mcdrop.engine.maskcache import MASK_BYTES
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.network import Network
from mcdrop.engine.philox import check_seed
from mcdrop.engine.planning import Planned, Planner
from mcdrop.engine.sampling import sample_call
from mcdrop.engine.sites import Site
from mcdrop.errors import CheckpointError, DomainError, InputError, McdropError, OptionError
from mcdrop.prediction import Wanted
from mcdrop.predictive import TASKS, Predictive, Sampled, Task, task_named
from mcdrop.predictive.calibrated import (
    CalibratedTask,
    check_order,
    fitted_tau,
    promised_levels,
    read_calibrators,
)
from mcdrop.predictive.predictive import check_levels
from mcdrop.progress import Tell, following
from mcdrop.requests import Request, predict_batches
from mcdrop.saving import (
    architecture_of,
    described_inputs,
    example_call,
    input_specs,
    manifest_of,
    model_card,
)
from mcdrop.sensitivity import Sensitivity, measure_sensitivity
from mcdrop.settings import RowIds, SampleCount, Settings, identities
from mcdrop.squashing import refuse_sigmoid, refuse_variance
from mcdrop.token_outputs import refuse_tokens_for_classes

__all__ = ["MCDropout", "like"]

_EVENTS: Final = frozenset({"binary", "multilabel"})
_SAME: Final = (
    *("n_samples", "seed", "task", "masks", "output", "class_axis", "tau"),
    *("batch_axis", "rng", "memory_budget"),
)


class MCDropout:
    """A trained model whose dropout stays on: stochastic passes, replayable, and their distribution.

    The model itself is left as it is. It may be used, moved or trained further at the same time.

    Args:
        model: Any module that draws: dropout of any kind, attention or recurrent dropout, its own noise.
        n_samples: Passes, unless a call says otherwise; `auto` for as many as each row needs.
        seed: Of the masks, 0 to 2^63 - 1, unless a call says otherwise.
        task: `classification`, `binary`, `multilabel`, `regression`, `heteroscedastic` or `raw`. Without one,
            only `sample` works.
        masks: `consistent`: one mask for each sample, shared by all rows, so that each sample is one
            function. `independent`: each row has its own.
        output: What a classifier returns: `logits`, `probabilities` or `log_probabilities`.
        class_axis: The axis of the classes in (N, C, ...), 1 if nothing is said; -1 for models that return
            (N, T, C), which are refused where nothing is said and the shapes of inputs and outputs tell.
        tau: Noise precision of a regression, in 1 / squared units of y.
        batch_axis: The axis of the rows, one for all inputs or for each; None for an input that is not split.
            If none is split (a graph: node features and adjacency), rows are the first axis of the outputs,
            and a mask is drawn for the whole.
        rng: `philox-1` (stratified over samples) or `philox-1-plain`.
        verify: Whether a plan is checked on the first input of each kind before it is used.
        tolerance: With `auto`: the standard error of the mean at which a row stops, in units of the mean.
        max_samples: With `auto`: what a row takes at most, at least 32; by default 1024.
        memory_budget: Bytes that a prediction may take beside what is there, results included; by default a
            quarter of what is free, on a processor at most 2 GiB.

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
        n_samples: int | Literal["auto"] = 128,
        seed: int = 0,
        task: str | None = None,
        masks: str = "consistent",
        output: str = "logits",
        class_axis: int | None = None,
        tau: float | None = None,
        batch_axis: BatchAxis = 0,
        rng: str = "philox-1",
        verify: bool = True,
        tolerance: float | None = None,
        max_samples: int | None = None,
        memory_budget: int | None = None,
    ) -> None:
        check_module(model)
        count = SampleCount.of(n_samples, tolerance, max_samples, least=1)
        self._settings = Settings(count, seed, masks, rng)
        axis = 1 if class_axis is None else class_axis
        self._task = None if task is None else task_named(task, output=output, class_axis=axis, tau=tau)
        self._check = _check_of(task, output, class_axis)
        self._planner = Planner(model, verify=verify, check=self._check)
        self._budget = Budget(memory_budget)
        self.model = model
        self.n_samples, self.tolerance = count.most, count.tolerance
        self.seed, self.masks, self.rng = self._settings.seed, masks, rng
        self.task, self.output, self.class_axis, self.tau = task, output, axis, tau
        self.batch_axis, self.memory_budget = batch_axis, memory_budget
        self.calibrators: tuple[Calibrator, ...] = ()
        self.manifest: Manifest | None = None
        self.digest: str | None = None

    def __repr__(self) -> str:
        """The kind of model, the task, and how it is sampled."""
        said: dict[str, object] = {
            "task": self.task,
            "n_samples": self.n_samples,
            "seed": self.seed,
            "masks": self.masks,
        }
        if self.tolerance is not None:
            said |= {"n_samples": "auto", "tolerance": self.tolerance, "max_samples": self.n_samples}
        return f"MCDropout({type(self.model).__name__}, {', '.join(f'{k}={v!r}' for k, v in said.items())})"

    def __call__(self, *_inputs: Any, **_model_inputs: Any) -> NoReturn:
        """Not a network: what is wanted of it has a name.

        Raises:
            InputError: Always.
        """
        raise InputError(
            "an MCDropout is not called like a network: mc.predict(x) gives the distribution of each row "
            "(it needs a task), mc.sample(x) the outputs under each mask, mc.model(x) the network's own"
        )

    @classmethod
    def of_checkpoint(cls, checkpoint: Checkpoint, *, mask_cache: int = MASK_BYTES) -> Self:
        """The model of a checkpoint, with the task, defaults and exact mode that its manifest names.

        Args:
            checkpoint: Read already.
            mask_cache: Bytes of masks that are kept for seeds that come again.

        Raises:
            DomainError: If `mask_cache` is no number of bytes.
        """
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
        mc._planner = Planner(
            checkpoint.model,
            exact_rows=rows,
            exact_strategy=strategy,
            mask_cache=mask_cache,
            check=mc._check,
        )
        return mc.calibrated(*read_calibrators(manifest.calibrators)) if manifest.calibrators else mc

    def calibrated(self, *calibrators: Calibrator) -> Self:
        """The same model with predictions that these calibrators correct, after those that it has already.

        Args:
            *calibrators: Fitted, in the order in which they were, each on predictions that those before it
                corrected; `mcdrop.calibrate` fits one. What promises (sets, intervals, answers) comes last.

        Returns:
            Another object over the same model.

        Raises:
            OptionError: If this object has no task, or one changes what another was fitted on.
        """
        self._checked_task()
        check_order((*self.calibrators, *calibrators))
        other = copy.copy(self)
        other.calibrators = (*self.calibrators, *calibrators)
        other.tau = fitted_tau(calibrators, self.tau)
        task = task_named(str(self.task), output=self.output, class_axis=self.class_axis, tau=other.tau)
        vars(other)["_task"] = CalibratedTask(task, other.calibrators, self.class_axis)
        return other

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
        row_ids: RowIds | None = None,
        model_kwargs: dict[str, Any] | None = None,
        **model_inputs: Any,
    ) -> Any:
        """Outputs of the model under n_samples masks.

        Args:
            *inputs: Tensors or arrays for the model; a mapping is unpacked if `forward` names its keys.
            n_samples: S, a number; by default that of this object.
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
        count = self._fixed_count(n_samples)
        draw = self._settings.draw(call.rows, count, seed, identities(row_ids))
        planned = self._planner.planned(call)
        plan = self._planner.exact(call) if exact else planned.fast(call.rows)
        plan = self._budget.fitted(plan, planned.footprint, Load(own_masks=draw.row_ids is not None))
        return plan.network.outputs.rebuild(sample_call(plan, call, draw))

    def predict(
        self,
        *inputs: Any,
        n_samples: int | Literal["auto"] | None = None,
        tolerance: float | None = None,
        max_samples: int | None = None,
        seed: int | None = None,
        exact: bool = False,
        row_ids: RowIds | None = None,
        quantiles: Sequence[float] | None = None,
        keep_samples: bool | None = None,
        take: Take = None,
        memory_budget: int | None = None,
        progress: bool | Tell | None = None,
        model_kwargs: dict[str, Any] | None = None,
        **model_inputs: Any,
    ) -> Predictive:
        """The predictive distribution of each row.

        Args:
            *inputs: What the model takes; or one `DataLoader` or iterator of batches.
            n_samples: S, at least 2, or `auto` for as many as each row needs; by default that of this object.
            tolerance: With `auto`: the standard error of the mean at which a row stops, in units of the mean.
            max_samples: With `auto`: what a row takes at most, at least 32; by default 1024.
            seed: By default that of this object.
            exact: Compute in blocks of a fixed shape, so that the bits do not depend on the other rows.
            row_ids: (N,) ids of the rows; with independent masks only, by default 0 to N - 1.
            quantiles: Levels in (0, 1) that are wanted even if the samples are dropped.
            keep_samples: Whether the result holds the samples; by default up to 256 MiB of them for a call
                (a quarter of the budget, if one is given that is below 1 GiB).
            take: Of a loader's batches that are tuples or mappings: which entries the model takes.
            memory_budget: Bytes that the call may take beside what is there, results included; by default
                that of this object.
            progress: True for a bar on standard error, or a function of (done, total), in rows x samples.
            model_kwargs: Inputs by name whose names collide with those above.
            **model_inputs: Inputs by name.

        Returns:
            The predictive of the task, on the device of the model.

        Raises:
            OptionError: If this object has no task.
            NothingRandomError: If nothing is random.
            UnsupportedModelError: If the model cannot be sampled.
            ShapeError: If the inputs do not have the same number of rows.
            TooLittleMemoryError: If one row x 16 samples do not fit in the budget, or in the device.
        """
        count = self._settings.count.overridden(n_samples, tolerance, max_samples, least=2)
        levels = promised_levels(self.calibrators, check_levels(() if quantiles is None else quantiles))
        budget = self._budget if memory_budget is None else Budget(memory_budget)
        ids = identities(row_ids)
        request = Request(self._checked_task(), levels, count, seed, exact, ids, keep_samples, budget)
        batches = (self._call(batch, model_kwargs, model_inputs) for batch in batches_of(inputs, take))
        calls = batches if is_loader(inputs) else list(batches)
        rows = calls[0].rows if isinstance(calls, list) else loader_rows(inputs[0])
        with following(progress, None if rows is None else rows * count.most) as seen:
            return predict_batches(self._planner, self._settings, request, calls, seen)

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
        draw = self._settings.draw(call.rows, self._fixed_count(n_samples), seed, None)
        return measure_sensitivity(self.model, self._planner.planned(call), call, draw, self._task)

    def exact_blocks(self, *inputs: Any, **model_inputs: Any) -> ExactBlocks:
        """The blocks of exact mode for inputs like these, for a server that fills them from many requests.

        Args:
            *inputs: What the model takes.
            **model_inputs: Inputs by name.
        """
        call = self._call(inputs, None, model_inputs)
        if call.whole:
            raise OptionError(
                "a block of exact mode holds rows of different requests, and no input is split into rows "
                "(batch_axis=None); predict(..., exact=True) gives the same bits for one input as a whole"
            )
        return ExactBlocks(self._planner.exact(call), self.rng, self._task)

    def as_call(self, *inputs: Any, **model_inputs: Any) -> Call:
        """The call that these inputs mean, for `ExactBlocks`."""
        return self._call(inputs, None, model_inputs)

    def wanted(
        self,
        n_samples: int,
        seed: int,
        *,
        tolerance: float | None = None,
        quantiles: Sequence[float] = (),
        keep_samples: bool = False,
    ) -> Wanted:
        """What a predictive of exact mode is to hold, for `ExactBlocks.assemble` and `until`.

        Args:
            n_samples: S; with a tolerance the most that a row takes.
            seed: Of the masks.
            tolerance: At which a row stops.
            quantiles: Levels.
            keep_samples: Whether the samples stay.

        Raises:
            OptionError: If this object has no task.
        """
        samples = SampleCount.of(n_samples, least=2).most
        sampled = Sampled(samples, check_seed(seed), self.masks, self.rng, exact=True, tolerance=tolerance)
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
            architecture: `package.module:factory`; models of `mcdrop.zoo` and transformers carry theirs.
            overwrite: Replace the checkpoint in an existing directory.
            name: Of the model; by default the last part of `path`.
            readme: The model card.
            **facts: Further fields of the manifest: `inputs`, `outputs`, `classes`, `training`, `scores`, ...

        Raises:
            OptionError: If there is no task, the inputs were neither traced nor described, or their rows are
                not on axis 0.
            CheckpointError: If the path exists, or the model cannot be saved.
        """
        if self.task is None:
            raise OptionError("a checkpoint needs a task; make the object with MCDropout(model, task=...)")
        if not rows_lead(self.batch_axis):
            raise OptionError(
                f"the inputs of a checkpoint have their rows on axis 0, got batch_axis={self.batch_axis!r}; "
                "wrap the model in a module that takes them so"
            )
        manifest = self._manifest(name or Path(path).name, architecture, facts)
        write_checkpoint(
            path, manifest, self.model, readme=readme or model_card(manifest), overwrite=overwrite
        )

    def _call(
        self,
        inputs: tuple[Any, ...],
        model_kwargs: Mapping[str, Any] | None,
        model_inputs: Mapping[str, Any] | None = None,
    ) -> Call:
        named = {**(model_inputs or {}), **(model_kwargs or {})}
        call = as_call(self.model, inputs, named, self.batch_axis)
        if call.whole and self.masks == "independent":
            raise OptionError(
                "masks='independent' gives each row of the inputs masks of its own, and no input is split "
                "into rows (batch_axis=None); use masks='consistent', under which every element of the whole "
                "has its own draw"
            )
        return call

    def _fixed_count(self, n_samples: int | None) -> SampleCount:
        if n_samples is None and self.tolerance is not None:
            raise OptionError(
                "n_samples='auto' decides row by row, in predict; here all rows take the same number, so "
                "pass n_samples=128 or another number"
            )
        return SampleCount.of(self.n_samples if n_samples is None else n_samples, least=1)

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
        return example_call(self.model, self.manifest.inputs)

    def _manifest(
        self, name: str, architecture: str | Architecture | None, facts: dict[str, Any]
    ) -> Manifest:
        described: dict[str, Any] = {
            "name": name,
            "task": self.task,
            "output": self.output,
            "class_axis": self.class_axis,
            "architecture": architecture_of(self.model, architecture),
            "inputs": described_inputs(facts.pop("inputs", ())) or self._traced_inputs(),
            "tau": self.tau,
            "calibrators": [each.to_dict() for each in self.calibrators],
        }
        example = example_call(self.model, described["inputs"])
        try:
            plan = self._planner.exact(example)
        except McdropError:
            raise
        except Exception as error:
            raise CheckpointError(f"the model does not take inputs as they are described: {error}") from error
        self._check_task(example, facts.get("classes"))
        return manifest_of(self._settings, plan, {**described, **facts})

    def _traced_inputs(self) -> list[InputSpec]:
        return input_specs(self.model, self.plan.example)

    def _check_task(self, example: Call, classes: Sequence[str] | None) -> None:
        """See that the outputs have the form that the task and the names of the classes say."""
        args, kwargs = example.take(slice(0, 2)).arguments()
        try:
            mean = self.predict(*args, n_samples=BLOCK, keep_samples=False, model_kwargs=kwargs).mean
        except DomainError:
            return  # what the numbers of made-up rows are says nothing
        known = {"classification": self.class_axis, "multilabel": 1}.get(str(self.task))
        count = 2 if known is None else mean.shape[known]
        if classes is not None and len(classes) != count:
            raise CheckpointError(f"classes must name {count} classes, as the model has, got {len(classes)}")


def like(mc: MCDropout, model: nn.Module, **changes: Any) -> MCDropout:
    """Another model, sampled as that of `mc` but for some options; calibrators are left behind."""
    same = {name: getattr(mc, name) for name in _SAME}
    return MCDropout(model, **{**same, **changes})


def _check_of(
    task: str | None, output: str, class_axis: int | None
) -> Callable[[Network, Call], None] | None:
    """What refuses outputs that the task would misread."""
    if task in _EVENTS and output == "logits":
        return refuse_sigmoid
    if task == "heteroscedastic":
        return refuse_variance
    return refuse_tokens_for_classes if task == "classification" and class_axis is None else None
