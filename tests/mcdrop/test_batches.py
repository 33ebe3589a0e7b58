"""The batches of one call."""

import re

import pytest
import torch

from mcdrop.batches import batches_of
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
