"""The batches of one call."""

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset, SubsetRandomSampler, TensorDataset

from mcdrop.batches import batches_of, is_loader, loader_rows
from mcdrop.errors import InputError

X = torch.zeros(3, 2)


def test_inputs_that_are_no_loader_are_one_batch() -> None:
    assert list(batches_of((X, X), None)) == [(X, X)]


@pytest.mark.parametrize(("take", "taken"), [(0, 1), ([0], 1), ([0, 1], 2)])
def test_entries_of_tuples_are_taken_by_number(take: int | list[int], taken: int) -> None:
    (batch,) = batches_of((iter([(X, X)]),), take)
    assert len(batch) == taken


def test_entries_of_mappings_are_taken_by_name() -> None:
    assert list(batches_of((iter([{"x": X, "y": X}]),), ["x"])) == [(X,)]


@pytest.mark.parametrize(
    ("batch", "take", "message"),
    [
        ((X, X), 2, "take=2 names no entry of the loader's batch, which holds 2 things"),
        ({"x": X}, "z", "take='z' names no entry of the loader's batch, which holds the keys x"),
    ],
)
def test_an_entry_that_is_not_there_is_named(batch: object, take: int | str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        list(batches_of((iter([batch]),), take))


class Stream(IterableDataset[Tensor]):
    """Rows whose number nobody knows."""

    def __iter__(self) -> Iterator[Tensor]:
        yield from X


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"batch_size": 2}, 3),
        ({"batch_size": 2, "shuffle": True}, 3),
        ({"batch_size": 2, "drop_last": True}, 2),
        ({"batch_size": 1, "sampler": SubsetRandomSampler([0, 2])}, 2),
        ({"batch_size": None}, None),
        ({"batch_sampler": [[0, 1], [2]]}, None),
    ],
)
def test_a_loader_says_how_many_rows_it_will_give_if_it_knows(options: Any, rows: int | None) -> None:
    loader: DataLoader[Any] = DataLoader(TensorDataset(X), **options)
    assert is_loader((loader,))
    assert loader_rows(loader) == rows
    if rows is not None:
        assert sum(len(batch[0]) for batch in loader) == rows


def test_a_loader_is_read_without_moving_the_global_generator() -> None:
    loader: DataLoader[Any] = DataLoader(TensorDataset(X), batch_size=2)
    before = torch.get_rng_state()
    assert len(list(batches_of((loader,), 0))) == 2
    assert torch.equal(torch.get_rng_state(), before)
    list(loader)  # which does move it where nobody puts it back
    assert not torch.equal(torch.get_rng_state(), before)


def test_streams_and_iterators_do_not_know_their_rows() -> None:
    assert loader_rows(DataLoader(Stream(), batch_size=2)) is None
    assert loader_rows(iter([X])) is None
    assert not is_loader((X,))


def test_take_without_batches_is_an_error_and_no_wish_unheard() -> None:
    with pytest.raises(InputError, match="take=0 chooses from the batches of a DataLoader or an iterator"):
        list(batches_of((X,), 0))
