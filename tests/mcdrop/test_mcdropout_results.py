"""What `MCDropout` returns, and what it leaves alone."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.generators import moved_generators
from mcdrop.errors import (
    SamplesNotKeptError,
    UnsupportedModelError,
)
from mcdrop.predictive import ClassificationPredictive
from tests.support.networks import classifier, features, fixed, regressor
from tests.support.tolerances import EXACT, FLOAT32

X = features(21)


@pytest.fixture
def mc() -> MCDropout:
    return MCDropout(classifier(), task="classification", n_samples=32)


@pytest.mark.parametrize("exact", [False, True])
def test_streaming_gives_the_numbers_of_kept_samples(mc: MCDropout, exact: bool) -> None:
    kept = mc.predict(X, n_samples=150, exact=exact, keep_samples=True, quantiles=[0.05, 0.95])
    streamed = mc.predict(X, n_samples=150, exact=exact, keep_samples=False, quantiles=[0.05, 0.95])
    for name in (*kept.available_outputs(), "level_values"):
        torch.testing.assert_close(getattr(streamed, name), getattr(kept, name), **EXACT)
    with pytest.raises(SamplesNotKeptError, match="pass keep_samples=True to predict"):
        _ = streamed.samples


def test_a_predictive_is_that_of_the_samples(mc: MCDropout) -> None:
    pred = mc.predict(X)
    assert isinstance(pred, ClassificationPredictive)
    torch.testing.assert_close(pred.samples, mc.sample(X).softmax(2), **FLOAT32)
    torch.testing.assert_close(pred.std, pred.samples.std(0), **FLOAT32)


@pytest.mark.parametrize("exact", [False, True])
def test_rows_that_do_not_move_and_rows_that_are_no_numbers_are_noted(exact: bool) -> None:
    shift = nn.Linear(6, 6)  # after it, the padding of exact mode moves
    nn.init.eye_(shift.weight)
    nn.init.ones_(shift.bias)
    model = nn.Sequential(shift, nn.ReLU(), nn.Dropout(0.5), fixed(nn.Linear(6, 1)))
    mc = MCDropout(model, task="regression", n_samples=16)
    assert mc.predict(X, exact=exact).notes == ()
    still = mc.predict(-X.abs() - 2, exact=exact)
    assert still.notes == ("zero_variance",)
    assert still.std.flatten().tolist() == [0] * 21
    x = X.clone()
    x[3, 0] = math.nan
    assert mc.predict(x, exact=exact).notes == ("not_finite",)


@pytest.mark.parametrize("task", ["regression", "heteroscedastic"])
def test_quantiles_of_a_row_of_nan_are_nan_and_those_of_others_stay(task: str) -> None:
    model = nn.Sequential(fixed(nn.Linear(6, 8)), nn.Dropout(0.5), fixed(nn.Linear(8, 2)))
    mc = MCDropout(model, task=task, n_samples=16, tau=4.0 if task == "regression" else None)
    x = X.clone()
    x[3, 0] = math.nan
    values, others = (mc.predict(rows, exact=True, quantiles=(0.1, 0.9)).level_values for rows in (x, X))
    assert values is not None
    assert others is not None
    assert values[:, 3].isnan().all()
    others[:, 3] = math.nan
    torch.testing.assert_close(values, others, **EXACT, equal_nan=True)


def test_no_global_generator_moves() -> None:
    model = classifier()
    with moved_generators() as moved:
        mc = MCDropout(model, task="classification", n_samples=16)
        mc.predict(X)
        mc.predict(X, exact=True)
        mc.sample(X, seed=3)
    assert moved == []


def test_the_model_is_as_it_was() -> None:
    model = classifier()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = {name: (type(m), m.training, list(m._forward_hooks)) for name, m in model.named_modules()}
    MCDropout(model, task="classification", n_samples=16).predict(X, exact=True)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    after = {name: (type(m), m.training, list(m._forward_hooks)) for name, m in model.named_modules()}
    assert after == modules


@pytest.mark.parametrize("model", [nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))])
def test_dropout_may_be_the_first_thing_that_a_model_does(model: nn.Module) -> None:
    samples = MCDropout(model, n_samples=16).sample(torch.ones(5, 6))
    assert samples.std(0).min() > 0


class Wrapping(nn.Module):
    """Drops twice: in a child whose name is that of a wrapper, and by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 64)
        self.module = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = 0 * self.linear(x) + 1
        dropped: Tensor = self.module(hidden) - nn.functional.dropout(hidden, 0.5, self.training)
        return dropped


def test_two_sites_that_would_share_their_masks_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"module#0 and \(model\)#0"):
        MCDropout(Wrapping()).sample(X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exact", [False, True])
def test_results_are_normal_tensors(dtype: torch.dtype, exact: bool) -> None:
    mc, x = MCDropout(regressor().to(dtype), task="regression", n_samples=16), X.to(dtype)
    pred = mc.predict(x, exact=exact, quantiles=[0.5])
    held = [tensor for _, tensor, _ in pred.row_tensors() if tensor is not None]
    assert len(held) == 6
    for tensor in [*held, mc.sample(x, exact=exact)]:
        assert (tensor.dtype, tensor.is_inference(), tensor.requires_grad) == (dtype, False, False)


class Adjustable(nn.Module):
    """What a user may set on a model between two predictions."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.drop = nn.Linear(6, 3), nn.Dropout(0.3)
        self.shifted, self.power, self.scale, self.act = False, 1, torch.ones(3), torch.relu
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        self.calls += 1
        out = self.act(self.drop(self.body(x))) ** self.power * self.scale
        return out + 1 if self.shifted else out


def thrice(_module: nn.Module, _args: object, out: Tensor) -> Tensor:
    return 3 * out


SETTINGS: dict[str, Callable[[Adjustable], object]] = {
    "a flag": lambda model: setattr(model, "shifted", True),
    "a whole number": lambda model: setattr(model, "power", 2),
    "a tensor": lambda model: setattr(model, "scale", torch.full((3,), 2.0)),
    "a function": lambda model: setattr(model, "act", torch.tanh),
    "a hook": lambda model: model.body.register_forward_hook(thrice),
    "a layer": lambda model: setattr(model, "body", fixed(nn.Linear(6, 3, bias=False))),
}


@pytest.mark.parametrize("name", SETTINGS)
def test_what_was_set_on_the_model_since_is_seen(name: str) -> None:
    model = Adjustable()
    fixed(model)
    mc = MCDropout(model, n_samples=16)
    before = mc.sample(X)
    SETTINGS[name](model)
    torch.testing.assert_close(mc.sample(X), MCDropout(model, n_samples=16).sample(X), **FLOAT32)
    assert not torch.allclose(mc.sample(X), before)


def test_a_model_whose_settings_have_the_same_values_keeps_its_plan(mc: MCDropout) -> None:
    mc.sample(X)
    plan = mc.plan
    mc.model.train()
    for module in mc.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = float(str(module.p))
    mc.sample(X)
    assert mc.plan is plan


def test_a_rate_that_was_changed_is_seen(mc: MCDropout) -> None:
    before = mc.predict(X).std.mean()
    for module in mc.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.05
    assert mc.predict(X).std.mean() < before / 2
    assert [site.p for site in mc.sites] == [0.05, 0.05]
