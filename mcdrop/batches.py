"""The batches of one call: the inputs themselves, or those that a loader gives."""

from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from typing import Any

from torch import Tensor
from torch.utils.data import DataLoader

from mcdrop.engine.generators import generators_restored
from mcdrop.errors import InputError

__all__ = ["Take", "batches_of", "is_loader", "loader_rows", "opened", "split_batch"]

Take = int | str | Sequence[int | str] | None
"""Which entries of a loader's batch the model takes; None for the batch as it is."""


def batches_of(inputs: tuple[Any, ...], take: Take) -> Iterator[tuple[Any, ...]]:
    """Positional inputs, batch by batch.

    Args:
        inputs: Of the call; a single `DataLoader` or iterator gives batches, anything else is one batch.
        take: Of batches that are tuples or mappings: which entries the model takes.

    Raises:
        InputError: If a batch is a tuple and `take` does not say what the model takes of it, or if
            `take` names what is not there, or there are no batches to take it from.
    """
    if not is_loader(inputs):
        if take is not None:
            raise InputError(
                f"take={take!r} chooses from the batches of a DataLoader or an iterator, and there is none; "
                "pass what the model takes"
            )
        yield inputs
        return
    for batch in opened(inputs[0]):
        yield _taken(batch, take)


def opened(source: Iterable[Any]) -> Iterator[Any]:
    """The batches of a source, one by one.

    A `DataLoader` that is opened draws a seed from torch's global generator, which is put back. What it draws
    later to shuffle or to augment is the loader's own, and moves the generator as it does everywhere.
    """
    with generators_restored():
        return iter(source)


def is_loader(inputs: tuple[Any, ...]) -> bool:
    """Whether the inputs of a call are batches: one `DataLoader`, or one iterator."""
    return len(inputs) == 1 and isinstance(inputs[0], DataLoader | Iterator)


def loader_rows(loader: Any) -> int | None:
    """How many rows a loader will give; None if it does not say (an iterator, a stream of rows)."""
    sampler = getattr(loader, "sampler", None)
    if not isinstance(sampler, Sized) or not loader.batch_size:
        return None
    return len(sampler) - len(sampler) % loader.batch_size if loader.drop_last else len(sampler)


def _taken(batch: Any, take: Take) -> tuple[Any, ...]:
    if take is not None:
        return tuple(_entry(batch, name) for name in ([take] if isinstance(take, int | str) else take))
    if isinstance(batch, tuple | list):
        raise InputError(
            f"a batch of the loader holds {len(batch)} things; say which the model takes, such as take=0"
        )
    return (batch,)


def split_batch(batch: Any, take: Take, outcomes: int | str | None) -> tuple[tuple[Any, ...], Any]:
    """What the model takes of a batch, and the outcomes in it.

    Args:
        batch: A tensor, a tuple or a mapping.
        take: Which entries the model takes; None for all but the outcomes.
        outcomes: Which entry the outcomes are; None if the batch has none.

    Raises:
        InputError: If the batch has no such entry.
    """
    if outcomes is None:
        return _taken(batch, take), None
    if isinstance(batch, Tensor):
        raise InputError(
            f"y={outcomes!r} names an entry of the loader's batch, which is one tensor: the outcomes are not "
            "in it; pass those of all rows as y="
        )
    found = _entry(batch, outcomes, "y")
    if take is not None:
        return _taken(batch, take), found
    if isinstance(batch, Mapping):
        return ({name: value for name, value in batch.items() if name != outcomes},), found
    at = int(outcomes) % len(batch)
    return (*batch[:at], *batch[at + 1 :]), found


def _entry(batch: Any, name: int | str, argument: str = "take") -> Any:
    try:
        return batch[name]
    except (KeyError, IndexError, TypeError) as error:
        held = (
            f"the keys {', '.join(map(str, batch))}" if isinstance(batch, Mapping) else f"{len(batch)} things"
        )
        raise InputError(
            f"{argument}={name!r} names no entry of the loader's batch, which holds {held}"
        ) from error
