import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.sites import Law
from mcdrop.errors import DomainError
from tests.support.tolerances import EXACT, FLOAT64


class Given:
    """A source that gives the same draw again and again, and notes what was asked."""

    def __init__(self, drawn: float) -> None:
        self.drawn = drawn
        self.asked: list[tuple[str, Law, tuple[int, ...]]] = []

    def draw(self, kind: str, _p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        self.asked.append((kind, law, shape))
        return torch.full(shape, self.drawn, dtype=law.dtype)


def under(source: Given) -> Interception:
    return Interception(source, HANDLERS, lambda: "")


def test_dropout_multiplies_by_what_the_source_draws() -> None:
    source = Given(4.0)
    with under(source):
        out = F.dropout(torch.tensor([1.0, 2.0]), 0.75)
    torch.testing.assert_close(out, torch.tensor([4.0, 8.0]), **EXACT)
    assert source.asked == [("dropout", Law("noise", 0.75, torch.float32), (2,))]


def test_in_place_dropout_returns_the_tensor_that_it_was_given() -> None:
    x = torch.ones(3)
    with under(Given(2.0)):
        assert F.dropout(x, 0.5, True, True) is x
        assert F.alpha_dropout(x, 0.5, True, True) is x
    assert not torch.equal(x, torch.ones(3))


@given(st.floats(0.01, 0.99))
def test_alpha_dropout_keeps_mean_and_variance_of_standard_input(p: float) -> None:
    x = torch.tensor([-1.0, 1.0], dtype=torch.float64)  # mean 0, variance 1
    with under(Given(1.0)):
        kept = F.alpha_dropout(x, p, True)
    with under(Given(0.0)):
        dropped = F.alpha_dropout(x, p, True)
    outcomes, chances = (
        torch.cat([kept, dropped]),
        torch.tensor([1 - p, 1 - p, p, p], dtype=torch.float64) / 2,
    )
    mean = (outcomes * chances).sum()
    torch.testing.assert_close(mean, torch.zeros_like(mean), **FLOAT64)
    torch.testing.assert_close(((outcomes - mean) ** 2 * chances).sum(), torch.ones_like(mean), **FLOAT64)


@pytest.mark.parametrize("function", [F.dropout, F.alpha_dropout, F.dropout1d])
def test_at_rate_zero_and_in_eval_mode_nothing_is_asked_for(function: nn.Module) -> None:
    source = Given(0.0)
    x = torch.ones(2, 3)
    with under(source):
        assert torch.equal(function(x, 0.0, True), x)
        assert torch.equal(function(x, 0.5, False), x)
    assert source.asked == []


def test_at_rate_one_alpha_dropout_gives_zeros() -> None:
    with under(Given(0.0)):
        assert torch.equal(F.alpha_dropout(torch.ones(3), 1.0, True), torch.zeros(3))


def test_a_rate_outside_zero_to_one_is_refused() -> None:
    with under(Given(0.0)), pytest.raises(DomainError, match=r"between 0 and 1, got 1.5"):
        F.dropout(torch.ones(2), 1.5)


def test_an_input_of_a_rank_that_torch_refuses_is_refused_by_torch() -> None:
    with under(Given(0.0)), pytest.raises(RuntimeError, match="dropout1d"):
        F.dropout1d(torch.ones(2, 2, 2, 2))


def test_channelwise_dropout_draws_once_for_each_row_and_channel() -> None:
    source = Given(1.0)
    with under(source):
        F.dropout2d(torch.ones(2, 3, 4, 4))
        F.dropout1d(torch.ones(3, 4))
        F.feature_alpha_dropout(torch.ones(2, 3, 4), 0.5, True)
    assert [shape for *_, shape in source.asked] == [(2, 3, 1, 1), (3, 1), (2, 3, 1)]
