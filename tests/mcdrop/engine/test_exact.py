"""The position probe: the largest block whose rows have the same numbers in every place and company."""

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mcdrop
from tests.support.stochastic_modules import Applied, DropPath, Residual

X = torch.randn(7, 3, generator=torch.Generator().manual_seed(0))


def rows_of(forward: Callable[[Tensor, bool], Tensor]) -> int:
    return mcdrop.MCDropout(Applied(forward, nn.Identity(), nn.Identity()).eval()).exact_blocks(X).rows


def sums_by_place(x: Tensor, period: int) -> Tensor:
    """(N, 3) -> (N, 1), added up from the right in the first of so many rows."""
    turned = x.clone()
    turned[::period] = x[::period].flip(1)
    return (turned[:, 0] + turned[:, 1] + turned[:, 2]).unsqueeze(1)


@pytest.mark.parametrize(("period", "most"), [(1, 16), (2, 1), (4, 1), (16, 1)])
def test_rows_that_are_rounded_by_their_place_are_found_where_outputs_do_not_show_it(
    period: int, most: int
) -> None:
    assert rows_of(lambda x, train: F.dropout(sums_by_place(x, period).sign(), 0.3, train)) == most


def test_numbers_that_belong_to_no_row_do_not_count() -> None:
    aside: list[Tensor] = []

    def with_a_loss(x: Tensor, train: bool) -> Tensor:
        hidden = F.dropout(x, 0.3, train)
        aside[:] = [x.mean(), hidden.square().sum(), hidden.mean(0)]
        return hidden

    assert rows_of(with_a_loss) == 16


def test_neither_does_what_happens_to_be_in_memory() -> None:
    assert mcdrop.MCDropout(Residual(nn.Identity(), DropPath(0.3)).eval()).exact_blocks(X).rows == 16
    assert rows_of(lambda x, train: x * torch.empty_like(x).bernoulli_(0.7) if train else x) == 16
