"""A loaded checkpoint as the service sees it."""

from collections.abc import Sequence
from typing import Self

from torch import Tensor

import mcdrop
from mcdrop.blocks import Cell
from mcdrop.checkpoint import Manifest
from mcdrop.engine.inputs import arguments_of
from mcdrop.engine.masks import BlockKey
from mcdrop.errors import CheckpointError
from mcdrop.predictive import Predictive
from mcdrop_service.execution.answering import Answering
from mcdrop_service.execution.description import (
    description,
    fields,
    input_facts,
    known_outputs,
    output_facts,
    properties,
    zeros,
)
from mcdrop_service.execution.invariance import batch_invariance
from mcdrop_service.execution.preparation import Preparation
from mcdrop_service.execution.servable import Lane
from mcdrop_service.facts import Array, ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import More, Pieces, Ripe, Unit

__all__ = ["CheckpointModel"]


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
        self._preparation = Preparation(mc)
        self._answering = Answering(mc, self._preparation)

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
        """Predict one row of zeros, rehearse what requests want, and tell what the model takes and gives.

        Returns:
            The facts.

        Raises:
            McdropError: If the model cannot be sampled.
        """
        inputs = tuple(map(input_facts, self._manifest.inputs))
        args, kwargs = arguments_of(self._zeros())
        predictive = self.probe()
        if not any(-1 in wanted.shape for wanted in inputs):  # else requests hardly have just that length
            self._preparation.rehearse(self._zeros())
        return ModelFacts(
            name=self._name,
            version=self._manifest.version,
            digest=self._digest,
            fingerprint=self._mc.fingerprint_id(),
            task=self._manifest.task,
            inputs=inputs,
            outputs=tuple(known_outputs(predictive)),
            default_outputs=tuple(predictive.default_outputs),
            n_samples=self._mc.n_samples,
            seed=self._mc.seed,
            tensors=tuple(output_facts(predictive, inputs)),
            batch_invariance=batch_invariance(
                self._mc.exact_blocks(*args, **kwargs), self._mc.as_call(*args, **kwargs)
            ),
            fields=tuple(fields(predictive)),
            properties=properties(self._mc.sites),
            description=description(self._manifest, self._mc.fingerprint()),
        )

    def probe(self) -> Predictive:
        """The prediction for a row of zeros.

        Raises:
            McdropError: If the model cannot be sampled.
        """
        args, kwargs = arguments_of(self._zeros())
        return self._mc.predict(*args, model_kwargs=kwargs, n_samples=2, seed=0, exact=True)

    def lane(self, request: PredictionRequest) -> Lane:
        """How requests with this input signature share batches; finds it out if it is new.

        Args:
            request: Any with this signature.

        Returns:
            R, whether every site has a row axis, and whether quantiles are promised.

        Raises:
            Exception: If the model cannot take inputs of this shape, whatever they hold.
        """
        blocks = self._preparation.blocks(request)
        apart = self._answering.promises_quantiles
        if blocks.shares_masks and self._mc.masks == "independent":
            # no two rows have the same masks, and a batch one kind
            return Lane(1, blocks.rows, mixes=True, apart=apart)
        return Lane(blocks.rows, blocks.rows, mixes=not blocks.shares_masks, apart=apart)

    def run(self, units: Sequence[Unit]) -> Sequence[Tensor]:
        """What some units come to.

        Args:
            units: Of one signature; their payloads are tasks.

        Returns:
            One result for each unit.
        """
        prepared, shared = self._preparation.of, self._mc.masks == "consistent"
        cells = []
        for unit in units:
            task, row = unit.payload, unit.row
            key = BlockKey(task.request.seed, 0 if shared else row, unit.block)
            cells.append(Cell(prepared(task).rows[row], key))
        return prepared(units[0].payload).blocks.run(cells)

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[PredictionAnswer | More | Pieces]:
        """The answers to some requests, or the pieces in which they are made, or the blocks that they want.

        Args:
            ripe: Of one signature; their payloads are tasks.

        Returns:
            For each request: each output that was asked for, and the quantiles.
        """
        return self._answering.answers(ripe)

    def _zeros(self) -> dict[str, Array]:
        """A row of zeros."""
        return {spec.name: zeros(input_facts(spec)) for spec in self._manifest.inputs}
