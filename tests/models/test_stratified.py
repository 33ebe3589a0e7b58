"""The benchmark of stratified masks, small: on `models/digits` they are worth many plain draws."""

import pytest
import torch

from benchmarks import stratified
from tests.support.tolerances import monte_carlo


def test_at_32_samples_the_error_of_the_mean_is_at_most_three_quarters_of_that_of_plain_draws() -> None:
    found = stratified.compare(
        "digits", stratified.held_out_rows("digits")[:100], n_samples=32, seeds=range(24)
    )
    assert found.ratio <= stratified.BAR
    assert found.stratified > 0


def test_both_kinds_of_masks_have_the_same_expectation() -> None:
    rows = stratified.held_out_rows("diabetes")[:20]
    first, second = (
        stratified.means("diabetes", rows, rng, 32, range(64)) for rng in ("philox-1", "philox-1-plain")
    )
    spread = (first.var(0) + second.var(0)).sqrt()
    assert ((first.mean(0) - second.mean(0)).abs() <= monte_carlo(64) * spread).all()


def test_the_error_of_a_mean_is_its_deviation_over_the_seeds() -> None:
    assert stratified.error(torch.tensor([[1.0, 0.0], [3.0, 0.0]])) == pytest.approx(1.0)


def test_the_ratio_of_two_kinds_that_are_the_same_has_no_error() -> None:
    means = torch.rand(32, 5, generator=torch.Generator().manual_seed(0))
    assert stratified.jackknife_error(means, means) == 0
