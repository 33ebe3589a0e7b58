"""Other rates for a model that has dropout."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import mcdrop
from mcdrop.errors import DomainError, OptionError
from mcdrop.rates import Rate, rates_of
from tests.support.replaying import network_and_call


class Custom(nn.Module):
    """Keeps its rates under names of its own, beside numbers that are none."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.drop_prob, self.attention_dropout = 0.1, 0.2
        self.use_dropout, self.num_dropouts, self.dropout_layers = True, 1, 3
        self.p = 3.0  # of a norm

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.linear(x), self.drop_prob, self.training)
        return F.dropout(x, self.attention_dropout, self.training)


class Constant(nn.Module):
    """Writes its rate into the call."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(4, 4)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(F.dropout(self.body(x), 0.3, self.training))  # type: ignore[no-any-return]


def mlp() -> nn.Module:
    return nn.Sequential(nn.Linear(4, 8), nn.Dropout(0.1), nn.Linear(8, 8), nn.Dropout(0.2), nn.Linear(8, 3))


def recurrent() -> nn.Module:
    return nn.LSTM(4, 4, 3, dropout=0.1, batch_first=True)


def encoder() -> nn.Module:
    layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
    return nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)


def sites(model: nn.Module, *shape: int) -> list[float | None]:
    """The rates of the sites that fire."""
    network, _ = network_and_call(model, torch.ones(*shape))
    return [site.p for site in network.sites.values()]


Case = tuple[Callable[[], nn.Module], dict[str, float], tuple[int, ...], list[float]]
CASES: list[Case] = [
    (mlp, {"1": 0.4}, (2, 4), [0.4, 0.2]),
    (mlp, {"*": 0.4}, (2, 4), [0.4, 0.4]),
    (mlp, {"*": 0.4, "3": 0.5}, (2, 4), [0.4, 0.5]),
    (mlp, {"3": 0.5, "*": 0.4}, (2, 4), [0.4, 0.4]),
    (mlp, {"1": 0.0}, (2, 4), [0.2]),
    (mlp, {"1.p": 0.3}, (2, 4), [0.3, 0.2]),
    (mlp, {}, (2, 4), [0.1, 0.2]),
    (recurrent, {"": 0.3}, (2, 5, 4), [0.3, 0.3]),
    (recurrent, {"dropout": 0.3}, (2, 5, 4), [0.3, 0.3]),
    (encoder, {"*.self_attn": 0.3}, (2, 5, 4), [0.3, 0.1, 0.1, 0.1] * 2),
    (encoder, {"layers.1.*": 0.3}, (2, 5, 4), [0.1] * 4 + [0.3] * 4),
    (Custom, {"": 0.5}, (2, 4), [0.5, 0.5]),
    (Custom, {"drop_prob": 0.5}, (2, 4), [0.5, 0.2]),
]


@pytest.mark.parametrize(("make", "rates", "shape", "wanted"), CASES)
def test_the_sites_fire_with_the_new_rates(
    make: Callable[[], nn.Module], rates: dict[str, float], shape: tuple[int, ...], wanted: list[float]
) -> None:
    model = make()
    before = rates_of(model)
    assert sites(mcdrop.with_rates(model, rates), *shape) == pytest.approx(wanted)
    assert rates_of(model) == before


def test_only_numbers_that_are_rates_count() -> None:
    assert rates_of(Custom()) == [Rate("", "drop_prob", 0.1), Rate("", "attention_dropout", 0.2)]


def test_weights_are_shared_and_the_modes_of_the_model_are_kept() -> None:
    model = mlp().train()
    other = mcdrop.with_rates(model, {"*": 0.3})
    assert all(a is b for a, b in zip(model.parameters(), other.parameters(), strict=True))
    assert all(module.training for module in model.modules())
    assert not any(module.training for module in other.modules())


def test_the_masks_of_a_seed_stay_those_of_its_sites() -> None:
    x, model = torch.ones(3, 4), mlp().eval()
    same = mcdrop.with_rates(mcdrop.with_rates(model, {"*": 0.4}), {"1": 0.1, "3": 0.2})
    assert torch.equal(mcdrop.MCDropout(model).sample(x), mcdrop.MCDropout(same).sample(x))


@pytest.mark.parametrize("p", [1.0, -0.1, float("inf"), True, "0.1", None])
def test_a_rate_must_lie_in_its_range(p: Any) -> None:
    with pytest.raises(DomainError, match=r"p must be a number in \[0, 1\), got"):
        mcdrop.with_rates(mlp(), {"1": p})


def test_a_pattern_that_matches_nothing_lists_near_matches() -> None:
    with pytest.raises(
        OptionError, match=r"'layers.0.dropout7' matches nothing.*near matches: layers.0.dropout"
    ):
        mcdrop.with_rates(encoder(), {"layers.0.dropout7": 0.1})  # fmt: skip


def test_a_model_without_rates_says_so() -> None:
    with pytest.raises(
        OptionError, match=r"'head' matches nothing: this Linear keeps no rate.*mcdrop.inject"
    ):
        mcdrop.with_rates(nn.Linear(2, 2), {"head": 0.1})


@pytest.mark.parametrize("rates", [0.1, None, {nn.Dropout: 0.1}])
def test_rates_are_given_by_path(rates: Any) -> None:
    with pytest.raises(OptionError, match=r"rates must be numbers by path, such as \{'head.\*': 0.2\}, got"):
        mcdrop.with_rates(mlp(), rates)


def test_a_module_without_a_rate_says_why() -> None:
    with pytest.raises(OptionError, match=r"'body' matches body, which keeps no rate that could be set"):
        mcdrop.with_rates(Constant(), {"body": 0.1})
