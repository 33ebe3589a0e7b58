"""From a checked request to what the engine computes: rows as calls, and the blocks of their signature."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

import mcdrop
from mcdrop.blocks import ExactBlocks
from mcdrop.engine.inputs import Call, arguments_of
from mcdrop_service.execution.servable import Task
from mcdrop_service.facts import Array, PredictionRequest

__all__ = ["Preparation", "Prepared"]

MOST_SIGNATURES: Final = 256


@dataclass(slots=True)
class Prepared:
    """A request as the engine takes it.

    Attributes:
        call: All rows.
        rows: Each row as a call of its own.
        blocks: Runs them.
    """

    call: Call
    rows: Sequence[Call]
    blocks: ExactBlocks


class Preparation:
    """Prepares requests to one model, and remembers the signatures that came last.

    Args:
        mc: The model.
    """

    def __init__(self, mc: mcdrop.MCDropout) -> None:
        self._mc = mc
        self._signatures: dict[Hashable, tuple[Call, ExactBlocks]] = {}

    def of(self, task: Task) -> Prepared:
        """A request, prepared once."""
        if task.prepared is None:
            task.prepared = self._prepared(task.request)
        prepared: Prepared = task.prepared
        return prepared

    def blocks(self, request: PredictionRequest) -> ExactBlocks:
        """The blocks of a signature; planned on zeros where the model fails on what came.

        What is in the rows is the fault of one request, and is found when they run.

        Args:
            request: Any with this signature.

        Raises:
            Exception: If the model cannot take inputs of this shape, whatever they hold.
        """
        try:
            return self._prepared(request).blocks
        except Exception:  # noqa: BLE001  a model can raise anything
            blank = {name: np.zeros_like(array) for name, array in request.inputs.items()}
            return self._prepared(replace(request, inputs=blank)).blocks

    def rehearse(self, inputs: Mapping[str, Array]) -> None:
        """Make all that requests with inputs like these need.

        Args:
            inputs: A row that the model can take.
        """
        like, blocks = self._known(inputs)
        blocks.rehearse(like)

    def _prepared(self, request: PredictionRequest) -> Prepared:
        like, blocks = self._known(request.inputs)
        call = like.holding(list(request.inputs.values()), request.rows)
        return Prepared(call, call.one_by_one(), blocks)

    def _known(self, inputs: Mapping[str, Array]) -> tuple[Call, ExactBlocks]:
        """A call of one row of this signature, and the blocks that run it."""
        key = tuple([array.shape[1:] for array in inputs.values()])
        known = self._signatures.get(key)
        if known is None:
            args, kwargs = arguments_of(inputs)
            call = self._mc.as_call(*args, **kwargs)
            blocks = self._mc.exact_blocks(*args, **kwargs).with_small_blocks(call)
            self._signatures[key] = known = call.take(slice(0, 1)), blocks
            if len(self._signatures) > MOST_SIGNATURES:
                del self._signatures[next(iter(self._signatures))]
        return known
