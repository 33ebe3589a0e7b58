"""Scaling inside the network: to mean 0 and standard deviation 1, and exactly back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.zoo.scaling import Standardise
from tests.support.tolerances import EXACT, FLOAT64


def table(rows: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return (
        torch.rand(rows, 3, generator=generator, dtype=torch.float64) * torch.tensor([1.0, 10.0, 100.0]) + 5
    )


def test_two_rows_become_minus_one_and_one() -> None:
    values = torch.tensor([[1.0, 10.0], [3.0, 30.0]])
    scaled = Standardise((2,)).fit(values)(values)
    torch.testing.assert_close(scaled, torch.tensor([[-1.0, -1.0], [1.0, 1.0]]), **EXACT)


@given(rows=st.integers(2, 40), seed=st.integers(0, 1000))
def test_each_column_gets_mean_zero_and_deviation_one(rows: int, seed: int) -> None:
    values = table(rows, seed)
    scaled = Standardise((3,)).double().fit(values)(values)
    torch.testing.assert_close(scaled.mean(0), torch.zeros(3, dtype=torch.float64), **FLOAT64)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(3, dtype=torch.float64), **FLOAT64)


@given(rows=st.integers(1, 40), seed=st.integers(0, 1000))
def test_the_inverse_undoes_it(rows: int, seed: int) -> None:
    values = table(rows, seed)
    scaling = Standardise((3,)).double().fit(values)
    torch.testing.assert_close(scaling.inverse(scaling(values)), values, **FLOAT64)


def test_without_a_shape_all_values_share_one_mean() -> None:
    images = torch.arange(32.0).reshape(2, 1, 4, 4)
    assert Standardise().fit(images).mean.item() == 15.5


def test_a_constant_column_is_only_shifted() -> None:
    scaling = Standardise((1,)).fit(torch.full((4, 1), 7.0))
    torch.testing.assert_close(scaling(torch.tensor([[7.0], [9.0]])), torch.tensor([[0.0], [2.0]]), **EXACT)


def test_it_travels_with_the_weights_and_is_not_trained() -> None:
    scaling = Standardise((3,)).fit(table(9, seed=1))
    assert set(scaling.state_dict()) == {"mean", "std"}
    assert not list(scaling.parameters())
