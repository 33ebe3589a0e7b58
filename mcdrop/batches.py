"""The batches of one call: the inputs themselves, or those that a loader gives."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch.utils.data import DataLoader

from mcdrop.errors import InputError

__all__ = ["Take", "batches_of"]

Take = int | str | Sequence[int | str] | None
"""Which entries of a loader's batch the model takes; None for the batch as it is."""


def batches_of(inputs: tuple[Any, ...], take: Take) -> Iterator[tuple[Any, ...]]:
    """Positional inputs, batch by batch.

    Args:
        inputs: Of the call; a single `DataLoader` or iterator gives batches, anything else is one batch.
        take: Of batches that are tuples or mappings: which entries the model takes.

    Raises:
        InputError: If a batch is a tuple and `take` does not say what the model takes of it, or if
            `take` names what is not there.
    """
    if len(inputs) != 1 or not isinstance(inputs[0], DataLoader | Iterator):
        yield inputs
        return
    for batch in inputs[0]:
        yield _taken(batch, take)


def _taken(batch: Any, take: Take) -> tuple[Any, ...]:
    if take is not None:
        return tuple(_entry(batch, name) for name in ([take] if isinstance(take, int | str) else take))
    if isinstance(batch, tuple | list):
        raise InputError(
            f"a batch of the loader holds {len(batch)} things; say which the model takes, such as take=0"
        )
    return (batch,)


def _entry(batch: Any, name: int | str) -> Any:
    try:
        return batch[name]
    except (KeyError, IndexError, TypeError) as error:
        held = (
            f"the keys {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"{len(batch)} things"
        )
        raise InputError(f"take={name!r} names no entry of the loader's batch, which holds {held}") from error
