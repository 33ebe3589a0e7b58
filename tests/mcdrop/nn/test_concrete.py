import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import nn

import mcdrop
from mcdrop.errors import DomainError, InputError, OptionError
from mcdrop.nn import ConcreteDropout, concrete_regulariser
from tests.support.tolerances import FLOAT32, monte_carlo


@pytest.fixture(autouse=True)
def _the_same_draws_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


def identity(p: float) -> ConcreteDropout:
    """Concrete dropout of one input, which is handed through."""
    linear = nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        linear.weight.fill_(1.0)
    return ConcreteDropout(linear, p).train()


def test_without_gradients_masks_are_real_ones_at_the_learned_rate() -> None:
    layer = identity(0.1)
    with torch.no_grad():
        layer.p_logit.fill_(math.log(0.3 / 0.7))
        out = layer(torch.ones(20_000, 1))
    assert layer.p == pytest.approx(0.3)
    torch.testing.assert_close(out.unique(), torch.tensor([0.0, 1 / 0.7]), **FLOAT32)
    assert abs(float((out == 0).double().mean()) - 0.3) <= monte_carlo(20_000, scale=(0.3 * 0.7) ** 0.5)


def test_with_gradients_masks_are_relaxed_and_the_mean_is_that_of_the_relaxation() -> None:
    """E[1 - sigmoid((logit p + logit u) / t)] / (1 - p), by the midpoint rule."""
    p, rows = 0.3, 40_000
    out = identity(p)(torch.ones(rows, 1)).detach()
    grid = (torch.arange(200_000, dtype=torch.float64) + 0.5) / 200_000
    relaxed = 1 - ((math.log(p / (1 - p)) + grid.logit()) / 0.1).sigmoid()
    wanted = float(relaxed.mean()) / (1 - p)
    assert abs(float(out.mean()) - wanted) <= monte_carlo(rows, scale=float(out.std()))
    assert len(out.unique()) > rows // 4


@pytest.mark.parametrize("rows", [(), (4,)])
def test_whole_channels_are_dropped_of_a_map_without_rows_too(rows: tuple[int, ...]) -> None:
    layer = ConcreteDropout(nn.Conv2d(200, 200, 1, groups=200, bias=False), 0.5).train()
    nn.init.ones_(layer.layer.weight)
    with torch.no_grad():
        out = layer(torch.ones(*rows, 200, 3, 2))
    assert (out == out[..., :1, :1]).all()
    assert set(out.unique().tolist()) == {0.0, 2.0}


def test_the_regulariser_is_the_formula_of_the_paper() -> None:
    layer = ConcreteDropout(nn.Linear(3, 2), 0.2)
    scale, p = 0.5, 0.2
    entropy = -(p * math.log(p) + (1 - p) * math.log(1 - p))
    squares = float(layer.layer.weight.detach().square().sum())
    wanted = scale**2 * squares / (2 * (1 - p)) - 3 * entropy
    assert float(layer.regulariser(scale).detach()) == pytest.approx(wanted, rel=1e-5)
    model = nn.Sequential(layer, ConcreteDropout(nn.Conv2d(3, 2, 2), 0.1))
    parts = [float(part.regulariser(scale).detach()) for part in model]  # type: ignore[operator]
    total = concrete_regulariser(model, n_rows=7, length_scale=scale)
    assert float(total.detach()) == pytest.approx(sum(parts) / 7)


def test_the_entropy_has_the_gradient_of_its_formula() -> None:
    layer = ConcreteDropout(nn.Linear(3, 2), 0.2)
    layer.regulariser(1e-6).backward()
    logit, p = math.log(0.2 / 0.8), 0.2
    assert layer.p_logit.grad is not None
    assert float(layer.p_logit.grad) == pytest.approx(3 * logit * p * (1 - p), rel=1e-4)  # -K dH/dlogit


@pytest.mark.parametrize(("rows", "noisier"), [(10, True), (2000, False)])
def test_little_data_keeps_the_rate_up_and_much_data_brings_it_down(rows: int, noisier: bool) -> None:
    x = torch.randn(rows, 5)
    y = x.sum(1, keepdim=True)
    model = nn.Sequential(ConcreteDropout(nn.Linear(5, 1), 0.3))
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for _ in range(200):
        optimiser.zero_grad()
        loss = 0.5 * (model(x) - y).square().mean() + concrete_regulariser(model, n_rows=rows)
        loss.backward()
        optimiser.step()
    layer = model[0]
    assert isinstance(layer, ConcreteDropout)
    assert (layer.p > 0.03) is noisier


def test_a_learned_rate_cannot_be_set() -> None:
    with pytest.raises(OptionError, match="keeps no rate that could be set: a learned rate"):
        mcdrop.with_rates(nn.Sequential(ConcreteDropout(nn.Linear(3, 2))), {"0": 0.2})


@pytest.mark.parametrize(
    ("options", "why"),
    [({"p": 0.0}, "must be above 0"), ({"p": 1.0}, "p must be"), ({"temperature": 0.0}, "must be above 0")],
)
def test_numbers_outside_their_range_are_refused(options: dict[str, float], why: str) -> None:
    with pytest.raises(DomainError, match=why):
        ConcreteDropout(nn.Linear(3, 2), **options)


@pytest.mark.parametrize("options", [{"n_rows": 0}, {"n_rows": 5, "length_scale": 0.0}])
def test_a_regulariser_of_no_rows_is_refused(options: Any) -> None:
    with pytest.raises(DomainError, match="n_rows must be at least 1 and length_scale above 0"):
        concrete_regulariser(ConcreteDropout(nn.Linear(3, 2)), **options)


def test_layers_of_other_kinds_are_refused() -> None:
    with pytest.raises(InputError, match=r"ConcreteDropout wraps nn\.Linear.*got LSTM"):
        ConcreteDropout(nn.LSTM(3, 2))
    with pytest.raises(InputError, match="Linear has no ConcreteDropout to regularise"):
        concrete_regulariser(nn.Linear(3, 2), n_rows=5)
