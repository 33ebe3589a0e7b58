"""A loaded checkpoint as the service sees it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

import mcdrop
from mcdrop.blocks import Cell, ExactBlocks
from mcdrop.checkpoint import InputSpec, Manifest
from mcdrop.errors import CheckpointError, NotFittedError
from mcdrop.inputs import Call
from mcdrop.masks import BlockKey
from mcdrop.predictive import Predictive
from mcdrop_service.execution.servable import Lane, Task
from mcdrop_service.facts import Array, InputFacts, ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import Unit

__all__ = ["CheckpointModel"]

ANY_LENGTH = 8


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
        self._blocks: dict[Any, ExactBlocks] = {}

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
            outputs=tuple(name for name in predictive.outputs if _is_known(predictive, name)),
            default_outputs=tuple(predictive.default_outputs),
            n_samples=self._mc.n_samples,
            seed=self._mc.seed,
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

    def run(self, units: Sequence[Unit]) -> Sequence[Tensor]:
        """The raw outputs of some units.

        Args:
            units: Of one signature; their payloads are tasks.

        Returns:
            (16, ...) for each unit.
        """
        prepared = [self._prepared_once(unit.payload) for unit in units]
        cells = [Cell(its.rows[unit.row], self._key(unit)) for its, unit in zip(prepared, units, strict=True)]
        return prepared[0].blocks.run(cells)

    def finish(self, task: Task, results: Sequence[Tensor]) -> PredictionAnswer:
        """The answer to a request.

        Args:
            task: The request.
            results: (16, ...) for each unit, all rows of block 0 first.

        Returns:
            Each output that was asked for, and the quantiles.
        """
        request, prepared = task.request, self._prepared_once(task)
        wanted = self._mc.wanted(request.n_samples, request.seed, quantiles=request.quantiles)
        parts = []
        for rows in _tiles(request.rows, prepared.blocks.rows):
            outputs = [
                results[first + rows.start : first + rows.stop]
                for first in range(0, len(results), request.rows)
            ]
            eval_pass = _deterministic(prepared, rows, outputs[0], request)
            parts.append(prepared.blocks.assemble(outputs, eval_pass, wanted))
        predictive = parts[0] if len(parts) == 1 else type(parts[0]).concatenate(parts)
        return PredictionAnswer(task.facts, request.n_samples, request.seed, _outputs(predictive, request))

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
        args, kwargs = _arguments(request.inputs)
        call = self._mc.as_call(*args, **kwargs)
        if call.signature not in self._blocks:
            self._blocks[call.signature] = self._mc.exact_blocks(*args, **kwargs)
        rows = tuple(call.take(slice(row, row + 1)) for row in range(request.rows))
        return Prepared(call, rows, self._blocks[call.signature])


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


def _deterministic(
    prepared: Prepared, rows: slice, outputs: Sequence[Tensor], request: PredictionRequest
) -> Tensor:
    """(R, ...) raw outputs of the pass without dropout, if anyone asked; else a sample stands in, unread."""
    blocks = prepared.blocks
    if "deterministic" in request.outputs:
        return blocks.deterministic(prepared.call.take(rows))
    first = [output[0] for output in outputs]
    return torch.stack(first + first[:1] * (blocks.rows - len(first)))


def _is_known(predictive: Predictive, name: str) -> bool:
    """Whether an output can be had: some need a noise precision that was never fitted."""
    try:
        getattr(predictive, name)
    except NotFittedError:
        return False
    return True


def _outputs(predictive: Predictive, request: PredictionRequest) -> dict[str, Array]:
    found = {name: getattr(predictive, name).numpy(force=True) for name in request.outputs}
    if request.quantiles:
        found["quantiles"] = predictive.quantile(request.quantiles).numpy(force=True)
    return found


def _description(manifest: Manifest, fingerprint: Mapping[str, object]) -> dict[str, object]:
    """What `GET /v1/models/{name}` tells beyond the facts: nothing about files or training data's place."""
    told = manifest.model_dump(mode="json", include={"classes", "sampling", "exact", "tau", "scores"})
    return {
        **told,
        "output_names": manifest.outputs.names,
        "units": manifest.outputs.units,
        "fingerprint_of": dict(fingerprint),
    }
