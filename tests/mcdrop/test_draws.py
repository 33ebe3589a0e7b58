"""Replayable draws: golden values, independence of company, uniformity."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.draws import row_uniforms
from mcdrop.errors import DomainError
from mcdrop.metrics.calibration_tests import uniformity_test
from tests.support.predictions import permutation


def test_the_numbers_never_change() -> None:
    assert row_uniforms([0, 1, 2], seed=0).tolist() == [
        0.8833108082136426,
        0.43152799704850997,
        0.026433771592597743,
    ]


def test_seed_zero_is_splitmix64_from_its_first_word_on() -> None:
    """Reference output of the published generator for state 0: e220a8397b1dcdaf."""
    first = 0xE220A8397B1DCDAF
    assert row_uniforms([0], seed=0).item() == (first >> 11) * 2.0**-53


@given(st.integers(0, 2**63 - 1), st.integers(0, 99))
def test_a_draw_does_not_depend_on_the_other_rows(seed: int, shuffle: int) -> None:
    order = permutation(20, seed=shuffle)
    together = row_uniforms(torch.arange(20), seed=seed)
    assert torch.equal(row_uniforms(order, seed=seed), together[order])


def test_draws_are_uniform_along_rows_and_along_seeds() -> None:
    assert uniformity_test(row_uniforms(torch.arange(5000), seed=3)).p_value > 1e-4
    along_seeds = torch.cat([row_uniforms([5], seed=seed) for seed in range(2000)])
    assert uniformity_test(along_seeds).p_value > 1e-4


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match=r"seed must be from 0 to 2\^63 - 1, got -1"):
        row_uniforms([0], seed=-1)
    with pytest.raises(DomainError, match="row_ids must not be negative"):
        row_uniforms([-1], seed=0)
