"""A loaded checkpoint as the service sees it."""

from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from torch import Tensor

import mcdrop
from mcdrop.blocks import Cell, CellResult, ExactBlocks
from mcdrop.checkpoint import InputSpec, Manifest
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.sites import Site
from mcdrop.errors import CheckpointError, NotFittedError
from mcdrop.prediction import Wanted
from mcdrop.predictive import Predictive
from mcdrop.predictive.calibrated import promised_levels, void_notes
from mcdrop_service.execution.invariance import batch_invariance
from mcdrop_service.execution.servable import Lane, Task
from mcdrop_service.facts import (
    Array,
    InputFacts,
    ModelFacts,
    OutputFacts,
    PredictionAnswer,
    PredictionRequest,
)
from mcdrop_service.scheduler import Unit

__all__ = ["CheckpointModel"]

ANY_LENGTH = 8
MOST_NAMED = 50

# what is kept whole, and sets, whose draws are by the row's place in its own request
APART = frozenset({"deterministic", "samples", "prediction_set"})
ROWS_SECOND = ("quantiles", "samples")

MOST_SIGNATURES = 256


@dataclass(frozen=True)
class Prepared:
    """A request as the engine takes it.

    Attributes:
        call: All rows.
        rows: Each row as a call of its own.
        blocks: Runs them.
    """

    call: Call
    rows: tuple[Call, ...]
    blocks: ExactBlocks


class CheckpointModel:
    """A checkpoint that answers with the library's own bits.

    Args:
        name: Its name in the URL.
        mc: The loaded network.
        manifest: What the checkpoint says about itself.
        digest: `sha256:` and the digest of its manifest.
    """

    def __init__(self, name: str, mc: mcdrop.MCDropout, manifest: Manifest, digest: str) -> None:
        self._name = name
        self._mc = mc
        self._manifest = manifest
        self._digest = digest
        self._signatures: dict[Hashable, tuple[Call, ExactBlocks]] = {}

    @classmethod
    def of(cls, name: str, mc: mcdrop.MCDropout) -> Self:
        """What `mcdrop.load` gave, under a name.

        Args:
            name: Its name in the URL.
            mc: A network that came from a checkpoint.

        Returns:
            The model.

        Raises:
            CheckpointError: If the network came from elsewhere.
        """
        if mc.manifest is None or mc.digest is None:
            raise CheckpointError(f"{name} must come from a checkpoint to be served")
        return cls(name, mc, mc.manifest, mc.digest)

    def warm_up(self) -> ModelFacts:
        """Predict one row of zeros, and tell what the model takes and gives.

        Returns:
            The facts.

        Raises:
            McdropError: If the model cannot be sampled.
        """
        inputs = tuple(map(_input_facts, self._manifest.inputs))
        args, kwargs = _arguments({wanted.name: _zeros(wanted) for wanted in inputs})
        predictive = self._mc.predict(*args, model_kwargs=kwargs, n_samples=2, seed=0, exact=True)
        return ModelFacts(
            name=self._name,
            version=self._manifest.version,
            digest=self._digest,
            fingerprint=self._mc.fingerprint_id(),
            task=self._manifest.task,
            inputs=inputs,
            outputs=tuple(_known_outputs(predictive)),
            default_outputs=tuple(predictive.default_outputs),
            n_samples=self._mc.n_samples,
            seed=self._mc.seed,
            tensors=tuple(_output_facts(predictive, inputs)),
            batch_invariance=batch_invariance(
                self._mc.exact_blocks(*args, **kwargs), self._mc.as_call(*args, **kwargs)
            ),
            properties=_properties(self._mc.sites),
            description=_description(self._manifest, self._mc.fingerprint()),
        )

    def lane(self, request: PredictionRequest) -> Lane:
        """How requests with this input signature share batches; finds it out if it is new.

        Args:
            request: Any with this signature.

        Returns:
            R, and whether every site has a row axis.

        Raises:
            Exception: If the model cannot take inputs of this shape, whatever they hold.
        """
        blocks = self._planned(request)
        if blocks.shares_masks and self._mc.masks == "independent":
            return Lane(1, mixes=True)  # no two rows have the same masks, and a batch can hold only one kind
        return Lane(blocks.rows, mixes=not blocks.shares_masks)

    def run(self, units: Sequence[Unit]) -> Sequence[CellResult]:
        """What some units come to.

        Args:
            units: Of one signature; their payloads are tasks.

        Returns:
            One result for each unit.
        """
        prepared = [self._prepared_once(unit.payload) for unit in units]
        cells = [Cell(its.rows[unit.row], self._key(unit)) for its, unit in zip(prepared, units, strict=True)]
        return prepared[0].blocks.run(cells)

    def finish(
        self, tasks: Sequence[Task], results: Sequence[Sequence[CellResult]]
    ) -> Sequence[PredictionAnswer]:
        """The answers to some requests; those that want the same of their samples are reduced together.

        Args:
            tasks: The requests, of one signature.
            results: For each request, those of its units, all rows of block 0 first.

        Returns:
            For each request: each output that was asked for, and the quantiles.
        """
        companies: dict[Hashable, list[int]] = {}
        for index, task in enumerate(tasks):
            company = self._company(task.request)
            companies.setdefault(("alone", index) if company is None else company, []).append(index)
        answers: dict[int, PredictionAnswer] = {}
        for members in companies.values():
            answers |= zip(
                members,
                self._answers([tasks[i] for i in members], [results[i] for i in members]),
                strict=True,
            )
        return [answers[index] for index in range(len(tasks))]

    def _answers(
        self, tasks: Sequence[Task], results: Sequence[Sequence[CellResult]]
    ) -> Iterator[PredictionAnswer]:
        """Answers to requests that want the same, from one predictive of all their rows."""
        predictive = self._predictive(tasks[0], _by_block(tasks, results))
        arrays = _outputs(predictive, tasks)
        first = 0
        for task in tasks:
            rows = slice(first, first + task.request.rows)
            names = (*task.request.outputs, *(("quantiles",) if task.request.quantiles else ()))
            found = {
                name: arrays[name][:, rows] if name in ROWS_SECOND else arrays[name][rows] for name in names
            }
            notes = void_notes(self._mc.calibrators, self._wanted(task.request).sampled)
            yield PredictionAnswer(task.facts, task.request.n_samples, task.request.seed, found, notes)
            first = rows.stop

    def _predictive(self, task: Task, blocks: Sequence[Sequence[CellResult]]) -> Predictive:
        """Of the rows of some requests; in tiles where a request is alone with what it wants."""
        request, prepared = task.request, self._prepared_once(task)
        wanted = self._wanted(request)
        if self._company(request) is not None:
            return prepared.blocks.assemble(blocks, wanted)
        parts = [
            prepared.blocks.assemble(
                [results[rows] for results in blocks],
                wanted,
                deterministic=_deterministic(prepared, rows, request),
            )
            for rows in _tiles(request.rows, prepared.blocks.rows)
        ]
        return type(parts[0]).concatenate(parts)

    def _wanted(self, request: PredictionRequest) -> Wanted:
        """What the predictive of a request holds, with what the calibrators need."""
        return self._mc.wanted(
            request.n_samples,
            request.seed,
            quantiles=promised_levels(self._mc.calibrators, request.quantiles),
            keep_samples="samples" in request.outputs,
        )

    def _company(self, request: PredictionRequest) -> Hashable | None:
        """Requests of equal company are reduced together; None for one whose bits need tiles of their own."""
        levels = promised_levels(self._mc.calibrators, request.quantiles)
        return None if levels or not APART.isdisjoint(request.outputs) else ("samples", request.n_samples)

    def _planned(self, request: PredictionRequest) -> ExactBlocks:
        """The blocks of this signature; planned on zeros where the model fails on what came.

        What is in the rows is the fault of one request, and is found when they run.
        """
        try:
            return self._prepared(request).blocks
        except Exception:  # noqa: BLE001  a model can raise anything
            blank = {name: np.zeros_like(array) for name, array in request.inputs.items()}
            return self._prepared(replace(request, inputs=blank)).blocks

    def _key(self, unit: Unit) -> BlockKey:
        row_id = 0 if self._mc.masks == "consistent" else unit.row
        return BlockKey(unit.payload.request.seed, row_id, unit.block)

    def _prepared_once(self, task: Task) -> Prepared:
        if task.prepared is None:
            task.prepared = self._prepared(task.request)
        prepared: Prepared = task.prepared
        return prepared

    def _prepared(self, request: PredictionRequest) -> Prepared:
        like, blocks = self._known(request)
        call = like.holding(list(request.inputs.values()))
        rows = tuple(call.take(slice(row, row + 1)) for row in range(request.rows))
        return Prepared(call, rows, blocks)

    def _known(self, request: PredictionRequest) -> tuple[Call, ExactBlocks]:
        """A call of this signature, and the blocks that run it; the latest signatures are remembered."""
        key = tuple((name, array.dtype.str, array.shape[1:]) for name, array in request.inputs.items())
        if key not in self._signatures:
            args, kwargs = _arguments(request.inputs)
            call = self._mc.as_call(*args, **kwargs)
            self._signatures[key] = call.take(slice(0, 1)), self._mc.exact_blocks(*args, **kwargs)
            if len(self._signatures) > MOST_SIGNATURES:
                del self._signatures[next(iter(self._signatures))]
        return self._signatures[key]


def _by_block(tasks: Sequence[Task], results: Sequence[Sequence[CellResult]]) -> list[list[CellResult]]:
    """For each block the results of the rows of all requests, one request after the other."""
    pairs = [(task.request.rows, its) for task, its in zip(tasks, results, strict=True)]
    blocks = len(pairs[0][1]) // pairs[0][0]
    return [
        [result for rows, its in pairs for result in its[block * rows : (block + 1) * rows]]
        for block in range(blocks)
    ]


def _arguments(inputs: Mapping[str, Array]) -> tuple[tuple[Array, ...], dict[str, Array]]:
    """One input goes by position: its name in a checkpoint need not be that of the argument."""
    return (tuple(inputs.values()), {}) if len(inputs) == 1 else ((), dict(inputs))


def _input_facts(spec: InputSpec) -> InputFacts:
    # NumPy has no bfloat16: such a model takes float32, which the library casts to its parameters' dtype
    dtype = "float32" if spec.dtype == "bfloat16" else spec.dtype
    return InputFacts(spec.name, dtype, tuple(spec.shape))


def _zeros(wanted: InputFacts) -> Array:
    """(1, ...) zeros that fit an input."""
    return np.zeros((1, *(ANY_LENGTH if size == -1 else size for size in wanted.shape)), dtype=wanted.dtype)


def _tiles(rows: int, most: int) -> Iterator[slice]:
    for start in range(0, rows, most):
        yield slice(start, min(start + most, rows))


def _deterministic(prepared: Prepared, rows: slice, request: PredictionRequest) -> Tensor | None:
    """(R, ...) raw outputs of the pass without dropout, if anyone asked."""
    if "deterministic" not in request.outputs:
        return None
    return prepared.blocks.deterministic(prepared.call.take(rows))


def _known_outputs(predictive: Predictive) -> Iterator[str]:
    """Names of the outputs that can be had: some need a noise precision that was never fitted."""
    for name in predictive.available_outputs():
        with suppress(NotFittedError):
            getattr(predictive, name)
            yield name


def _outputs(predictive: Predictive, tasks: Sequence[Task]) -> dict[str, Array]:
    """What any of the requests wants of their common predictive, by name."""
    names = dict.fromkeys(name for task in tasks for name in task.request.outputs)
    found = {name: _array(getattr(predictive, name)) for name in names}
    if tasks[0].request.quantiles:
        found["quantiles"] = _array(predictive.quantile(tasks[0].request.quantiles))
    return found


def _properties(sites: Sequence[Site]) -> dict[str, str]:
    """What is random, in words: the first sites, and how many there are."""
    named = [site.name if site.p is None else f"{site.name} p={site.p:g}" for site in sites[:MOST_NAMED]]
    more = [f"and {len(sites) - MOST_NAMED} more"] if len(sites) > MOST_NAMED else []
    return {"dropout_sites": ", ".join([*named, *more])}


def _array(tensor: Tensor) -> Array:
    """A tensor as an array; bfloat16, which NumPy lacks, as float32."""
    array: Array = (tensor.float() if tensor.dtype is torch.bfloat16 else tensor).numpy(force=True)
    return array


def _output_facts(predictive: Predictive, inputs: Sequence[InputFacts]) -> Iterator[OutputFacts]:
    """Dtype and shape of each output; a length that may be that of the inputs counts as one that varies."""
    varies = any(-1 in wanted.shape for wanted in inputs)
    for name in _known_outputs(predictive):
        array = _array(getattr(predictive, name))
        sizes = (-1 if varies and size == ANY_LENGTH else size for size in array.shape[1:])
        yield OutputFacts(name, array.dtype.name, tuple(sizes))


def _description(manifest: Manifest, fingerprint: Mapping[str, object]) -> dict[str, object]:
    """What `GET /v1/models/{name}` tells beyond the facts: nothing about files or training data's place."""
    told = manifest.model_dump(mode="json", include={"classes", "sampling", "exact", "tau", "scores"})
    return {
        **told,
        "output_names": manifest.outputs.names,
        "units": manifest.outputs.units,
        "fingerprint_of": dict(fingerprint),
    }
