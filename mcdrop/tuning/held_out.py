"""Held-out rows: inputs and outcomes, at hand or batch by batch from a loader.

Candidates are compared row by row, so a loader has to give the same rows in the same order on every pass.
What an iterator gives is kept, since there is no second pass; a `DataLoader` is read anew for each candidate.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, RandomSampler

from mcdrop.batches import Take, is_loader, opened, split_batch
from mcdrop.errors import InputError, ShapeError
from mcdrop.mcdropout import MCDropout
from mcdrop.predictive import Predictive

__all__ = ["AtHand", "Batches", "HeldOut", "Outcomes", "held_out"]

Outcomes = Tensor | NDArray[Any] | int | str
"""(N, ...) of all rows; or which entry of a loader's batches holds them."""


class HeldOut(Protocol):
    """Rows whose outcomes are known."""

    def predicted(self, mc: MCDropout, *, keep_samples: bool) -> tuple[Predictive, Tensor]:
        """The predictive of all rows, and their outcomes (N, ...) on its device."""

    def trace(self, mc: MCDropout) -> None:
        """Let a model see inputs like these, so that it can be saved as it is."""


@dataclass(frozen=True, eq=False)
class AtHand:
    """All rows at once.

    Attributes:
        inputs: By position.
        named: By name.
        y: (N, ...) outcomes.
    """

    inputs: tuple[Any, ...]
    named: dict[str, Any]
    y: Tensor

    def predicted(self, mc: MCDropout, *, keep_samples: bool) -> tuple[Predictive, Tensor]:
        """The predictive of all rows, and their outcomes.

        Raises:
            ShapeError: If there is not an outcome for each row.
        """
        return _paired(mc.predict(*self.inputs, keep_samples=keep_samples, model_kwargs=self.named), self.y)

    def trace(self, mc: MCDropout) -> None:
        """Let a model see the inputs."""
        mc.trace(*self.inputs, model_kwargs=self.named)


class Batches:
    """Rows from a loader.

    Args:
        source: Gives the batches, the same on every pass.
        named: Inputs by name, with every batch.
        y: (N, ...) outcomes, or which entry of a batch holds them.
        take: Which entries of a batch the model takes; None for all but the outcomes.

    Raises:
        InputError: If there are no batches, or a batch has no such entries.
    """

    def __init__(
        self, source: Iterable[Any], named: dict[str, Any], y: Tensor | int | str, take: Take
    ) -> None:
        self._source, self._named, self._take = source, named, take
        self._entry = None if isinstance(y, Tensor) else y
        self._y = y if isinstance(y, Tensor) else None
        first = next(opened(source), None)
        if first is None:
            raise InputError("the loader gave no batches")
        self._first, _ = split_batch(first, take, self._entry)

    def predicted(self, mc: MCDropout, *, keep_samples: bool) -> tuple[Predictive, Tensor]:
        """The predictive of all rows, and their outcomes.

        Raises:
            ShapeError: If there is not an outcome for each row.
            InputError: If the outcomes are others than on an earlier pass.
        """
        met: list[Tensor] = []
        pred = mc.predict(
            self._inputs(met),
            take=range(len(self._first)),
            keep_samples=keep_samples,
            model_kwargs=self._named,
        )
        return _paired(pred, self._same_as_before(torch.cat(met)) if met else self._y)

    def trace(self, mc: MCDropout) -> None:
        """Let a model see the first batch."""
        mc.trace(*self._first, model_kwargs=self._named)

    def _inputs(self, met: list[Tensor]) -> Iterator[tuple[Any, ...]]:
        """What the model takes of each batch; the outcomes are noted by the way."""
        for batch in opened(self._source):
            inputs, outcomes = split_batch(batch, self._take, self._entry)
            if outcomes is not None:
                met.append(_as_tensor(outcomes))
            yield inputs

    def _same_as_before(self, y: Tensor) -> Tensor:
        if self._y is not None and not torch.equal(self._y, y):
            raise InputError(
                "the loader gave other outcomes than on its first pass; candidates are compared row by row, "
                "so it must give the same rows in the same order each time"
            )
        self._y = y
        return y


def held_out(inputs: tuple[Any, ...], named: dict[str, Any], y: Outcomes, take: Take) -> HeldOut:
    """The rows that a call of `tune_rates` names.

    Args:
        inputs: By position; a single `DataLoader` or iterator gives batches.
        named: By name.
        y: (N, ...) outcomes, or which entry of a batch holds them.
        take: Which entries of a batch the model takes; None for all but the outcomes.

    Raises:
        InputError: If `y` names an entry and there are no batches, or a loader shuffles its rows or is empty.
    """
    outcomes = y if isinstance(y, int | str) else _as_tensor(y)
    if is_loader(inputs):
        return Batches(_repeatable(inputs[0]), named, outcomes, take)
    if not isinstance(outcomes, Tensor):
        raise InputError(
            f"y={y!r} names an entry of a loader's batches, and there is no loader; pass outcomes"
        )
    return AtHand(inputs, named, outcomes)


def _repeatable(loader: Any) -> Iterable[Any]:
    if not isinstance(loader, DataLoader):
        return list(loader)
    if isinstance(loader.sampler, RandomSampler):
        raise InputError(
            "the loader shuffles its rows, and candidates are compared row by row under the same masks: make "
            "it with shuffle=False"
        )
    return loader


def _as_tensor(values: Any) -> Tensor:
    return values if isinstance(values, Tensor) else torch.as_tensor(np.asarray(values))


def _paired(pred: Predictive, y: Tensor | None) -> tuple[Predictive, Tensor]:
    if y is None or len(y) != len(pred):
        got = 0 if y is None else len(y)
        raise ShapeError(f"y must have a value for each of the {len(pred)} rows, got {got}")
    return pred, y.to(pred.mean.device)
