"""What a call says about its samples: numbers, tolerances, masks and ids of rows."""

from typing import Any

import numpy as np
import pytest
import torch

from mcdrop.errors import DomainError, InputError, McdropError, OptionError, ShapeError
from mcdrop.settings import SampleCount, Settings, identities

FIXED = SampleCount(128)
AUTO = SampleCount(512, 0.01)


def test_a_number_is_the_samples_of_every_row() -> None:
    assert SampleCount.of(7, least=2) == SampleCount(7, None)


def test_auto_takes_1024_at_most_unless_it_is_told() -> None:
    assert SampleCount.of("auto", 0.01, least=2) == SampleCount(1024, 0.01)
    assert SampleCount.of("auto", 0.01, 40, least=2) == SampleCount(40, 0.01)


@pytest.mark.parametrize(
    ("own", "call", "expected"),
    [
        (FIXED, {}, FIXED),
        (FIXED, {"n_samples": 5}, SampleCount(5)),
        (FIXED, {"n_samples": "auto", "tolerance": 0.1}, SampleCount(1024, 0.1)),
        (AUTO, {}, AUTO),
        (AUTO, {"tolerance": 0.1}, SampleCount(512, 0.1)),
        (AUTO, {"max_samples": 64}, SampleCount(64, 0.01)),
        (AUTO, {"n_samples": "auto"}, AUTO),
        (AUTO, {"n_samples": 5}, SampleCount(5)),
    ],
)
def test_a_call_overrides_what_it_names(
    own: SampleCount, call: dict[str, Any], expected: SampleCount
) -> None:
    wanted = {"n_samples": None, "tolerance": None, "max_samples": None, **call}
    assert own.overridden(**wanted, least=2) == expected


@pytest.mark.parametrize(
    ("arguments", "error", "match"),
    [
        (("auto",), OptionError, "n_samples='auto' needs tolerance="),
        (("auto", 0.0), DomainError, r"tolerance must be a positive number, .* got 0\.0"),
        (("auto", -0.1), DomainError, r"tolerance must be a positive number, .* got -0\.1"),
        (("auto", float("nan")), DomainError, "tolerance must be a positive number, .* got nan"),
        (("auto", float("inf")), DomainError, "tolerance must be a positive number, .* got inf"),
        (("auto", "small"), DomainError, "tolerance must be a positive number, .* got 'small'"),
        (("auto", True), DomainError, "tolerance must be a positive number, .* got True"),
        (("auto", 0.1, 31), DomainError, "max_samples must be an integer of at least 32, got 31"),
        (("auto", 0.1, 64.0), DomainError, r"max_samples must be an integer of at least 32, got 64\.0"),
        ((64, 0.1), OptionError, "tolerance and max_samples belong to n_samples='auto'; .* got n_samples=64"),
        ((64, None, 128), OptionError, "tolerance and max_samples belong to n_samples='auto'"),
        (("many",), DomainError, "n_samples must be an integer of at least 2, got 'many'"),
    ],
)
def test_what_cannot_be_is_refused(arguments: Any, error: type[McdropError], match: str) -> None:
    with pytest.raises(error, match=match):
        SampleCount.of(*arguments, least=2)


def test_rows_have_their_numbers_as_ids_unless_they_are_given() -> None:
    own = Settings(FIXED, 3, "independent", "philox-1")
    assert own.draw(2, FIXED, None, None).row_ids == [0, 1]
    assert own.draw(2, FIXED, 9, [7, 5]).row_ids == [7, 5]
    shared = Settings(FIXED, 3, "consistent", "philox-1").draw(2, FIXED, None, None)
    assert (shared.row_ids, shared.seed, shared.n_samples) == (None, 3, 128)


@pytest.mark.parametrize(
    "row_ids",
    [[4, 2**63 - 1], torch.tensor([4, 2**63 - 1]), np.array([4, 2**63 - 1]), (np.int64(4), 2**63 - 1)],
)
def test_ids_come_as_a_list_a_tensor_or_an_array(row_ids: Any) -> None:
    found = identities(row_ids)
    assert found == [4, 2**63 - 1]
    assert {type(row_id) for row_id in found or ()} == {int}


@pytest.mark.parametrize(
    ("row_ids", "error", "match"),
    [
        (torch.tensor([[1, 2]]), ShapeError, r"row_ids must be \(N,\), got shape \(1, 2\)"),
        (torch.tensor([1.0]), InputError, r"row_ids must be integers, got 1\.0"),
        (torch.tensor([True]), InputError, "row_ids must be integers, got True"),
        (["a"], InputError, "row_ids must be integers, got 'a'"),
        ("12", InputError, "row_ids must be integers, as a list, .* got a str"),
        (7, InputError, "row_ids must be integers, as a list, .* got a int"),
        (iter([1]), InputError, "row_ids must be integers, as a list, .* got a list_iterator"),
        ([-1], DomainError, r"row_ids must lie between 0 and 2\^63 - 1, got -1"),
        (np.array([2**63], dtype=np.uint64), DomainError, "row_ids must lie between"),
    ],
)
def test_ids_that_are_none_are_refused(row_ids: Any, error: type[McdropError], match: str) -> None:
    with pytest.raises(error, match=match):
        identities(row_ids)
