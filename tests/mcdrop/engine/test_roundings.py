"""Numbers of operators: what is rounded otherwise shows, in whatever parts and order the rows came."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from mcdrop.engine.roundings import Roundings

ROWS = torch.randn(16, 5, generator=torch.Generator().manual_seed(0))
DTYPES = (torch.bfloat16, torch.float32, torch.float64)


def sums(x: Tensor) -> Tensor:
    return (x[..., 0] + x[..., 1] + x[..., 2]).sign()


def sums_in_another_order(x: Tensor) -> Tensor:
    return (x[..., 0] + (x[..., 1] + x[..., 2])).sign()


def seen(function: Callable[[Tensor], Tensor], *parts: Tensor) -> Roundings:
    watch = Roundings()
    with watch:
        for part in parts:
            function(part)
    return watch


@pytest.mark.parametrize("dtype", DTYPES)
def test_another_rounding_is_seen_behind_an_output_of_the_same_bits(dtype: torch.dtype) -> None:
    x = ROWS.to(dtype)
    assert torch.equal(sums(x), sums_in_another_order(x))
    assert not seen(sums, x).among(seen(sums_in_another_order, x))


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_may_come_in_parts_in_another_order_and_beside_others(dtype: torch.dtype) -> None:
    x = ROWS.to(dtype)
    parts = [torch.nn.functional.pad(part, (0, 0, 0, 3)) for part in x.flip(0).split(4)]
    assert seen(sums, x).among(seen(sums, *parts))
    assert not seen(sums, x).among(seen(sums, *parts[1:]))


def test_under_vmap_all_samples_are_seen() -> None:
    x = ROWS.reshape(4, 4, 5)
    assert seen(torch.vmap(sums), x).among(seen(sums, *x))
    assert not seen(torch.vmap(sums), x).among(seen(sums, *x[1:]))


def test_zeros_of_both_signs_are_one() -> None:
    assert seen(torch.neg, torch.zeros(3)).among(seen(torch.neg, -torch.zeros(3)))


def test_what_the_others_do_not_call_is_not_compared() -> None:
    assert seen(torch.exp, ROWS).among(seen(torch.sin, ROWS))


def test_what_has_as_many_numbers_with_one_row_is_not_kept() -> None:
    def function(x: Tensor) -> Tensor:
        return (x * 2 + x.mean(0)).sum()

    of_one_row = seen(function, ROWS[:1])
    for kept in (None, of_one_row):
        with Roundings(kept) as watch:
            function(ROWS)
        known = {str(operator): len(numbers) for operator, numbers in watch.kept.items()}
        of_rows = {"aten.mul.Tensor": 1, "aten.add.Tensor": 1}
        assert known == (of_rows if kept else {**of_rows, "aten.mean.dim": 1, "aten.sum.default": 1})


def test_what_computes_nothing_is_not_kept() -> None:
    def function(x: Tensor) -> Tensor:
        return torch.where(x > 0, torch.empty_like(x), x.new_empty(x.shape))

    assert not seen(function, ROWS).kept


def test_of_large_results_nothing_is_kept() -> None:
    assert seen(torch.neg, torch.ones(2**12 + 1)).among(seen(torch.neg, torch.zeros(1)))
    assert not seen(torch.neg, torch.ones(2**12)).among(seen(torch.neg, torch.zeros(1)))
