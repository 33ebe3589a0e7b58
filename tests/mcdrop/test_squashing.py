"""What ends in a sigmoid returns no logits, what ends in exp no log variance, and neither is read as such."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.errors import OptionError
from tests.support.predictions import normal
from tests.support.tolerances import FLOAT32

X = normal(6, 8).float()


def stretched(chance: Tensor) -> Tensor:
    chance *= 8
    return chance


def written_over(chance: Tensor, logit: Tensor) -> Tensor:
    chance[:] = logit
    return chance


ENDS: dict[str, Callable[[Tensor, Tensor], object]] = {
    "nothing": lambda logit, _gate: logit,
    "sigmoid": lambda logit, _gate: torch.sigmoid(logit),
    "squeezed": lambda logit, _gate: logit.sigmoid().squeeze(-1),
    "picked": lambda logit, _gate: nn.functional.sigmoid(logit)[:, 0].clamp(0.01, 0.99),
    "named": lambda logit, gate: {"logits": logit.sigmoid(), "gate": gate},
    "gated": lambda logit, gate: logit * gate.sigmoid(),
    "stretched in place": lambda logit, _gate: logit.sigmoid().mul_(8).sub_(4),
    "stretched by a sign": lambda logit, _gate: stretched(logit.sigmoid()),
    "written over": lambda logit, _gate: written_over(logit.sigmoid(), logit),
    "clamped in place": lambda logit, _gate: logit.sigmoid().clamp_(0.01, 0.99),
    "pair": lambda logit, _gate: (logit.sigmoid(), logit),
}


class Ends(nn.Module):
    """One logit, and what is done to it at the end."""

    def __init__(self, end: str) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 1))
        self.gate = nn.Linear(8, 1)
        self.end = ENDS[end]

    def forward(self, x: Tensor) -> object:
        return self.end(self.layers(x), self.gate(x))


@pytest.mark.parametrize("task", ["binary", "multilabel"])
def test_a_sigmoid_at_the_end_is_refused_where_logits_are_meant(task: str) -> None:
    with pytest.raises(OptionError, match=r"ends in a sigmoid.*say output='probabilities'"):
        MCDropout(Ends("sigmoid"), task=task).predict(X)


@pytest.mark.parametrize("end", ["squeezed", "picked", "named", "clamped in place"])
def test_in_another_shape_it_is_still_seen(end: str) -> None:
    with pytest.raises(OptionError, match="ends in a sigmoid"):
        MCDropout(Ends(end), task="binary").trace(X)


@pytest.mark.parametrize("end", ["nothing", "gated"])
def test_logits_are_taken_also_where_a_sigmoid_is_inside(end: str) -> None:
    model = Ends(end)
    pred = MCDropout(model, task="binary").predict(X)
    torch.testing.assert_close(pred.deterministic, model.eval()(X).sigmoid().squeeze(1).detach(), **FLOAT32)


@pytest.mark.parametrize("end", ["stretched in place", "stretched by a sign", "written over"])
def test_what_is_made_of_it_in_place_is_no_sigmoid(end: str) -> None:
    assert MCDropout(Ends(end), task="binary").predict(X).sample_std.any()


def test_as_probabilities_they_are_what_they_are() -> None:
    model = Ends("squeezed")
    pred = MCDropout(model, task="binary", output="probabilities").predict(X)
    torch.testing.assert_close(pred.deterministic, model.eval()(X).detach())


def test_other_tasks_may_end_so() -> None:
    assert MCDropout(Ends("sigmoid"), task="regression").predict(X).mean.shape == (6, 1)


def test_several_outputs_are_sampled_as_before() -> None:
    first, second = MCDropout(Ends("pair"), task="binary").sample(X, n_samples=16)
    assert first.shape == second.shape == (16, 6, 1)


def test_the_generators_stay_where_they_are() -> None:
    mc = MCDropout(Ends("nothing"), task="binary")
    before = torch.get_rng_state()
    mc.trace(X)
    torch.testing.assert_close(torch.get_rng_state(), before)


class Noisy(nn.Module):
    """A mean, and what is made of a number at the end."""

    def __init__(self, end: Callable[[Tensor], object]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 2))
        self.end = end

    def forward(self, x: Tensor) -> object:
        mean, number = self.layers(x).unbind(-1)
        made = self.end(number)
        return made if isinstance(made, dict) else (mean, made)


VARIANCES: dict[str, Callable[[Tensor], object]] = {
    "softplus": nn.functional.softplus,
    "a layer of it": nn.Softplus(),
    "exp": torch.exp,
    "square": lambda number: number.square().unsqueeze(-1).squeeze(-1),
    "away from zero": lambda number: 1e-6 + nn.functional.softplus(number) + 1e-6,
    "clamped": lambda number: number.exp().clamp(min=1e-6),
}
LOGARITHMS: dict[str, Callable[[Tensor], object]] = {
    "as it is": lambda number: number,
    "of a variance": lambda number: (nn.functional.softplus(number) + 1e-6).log(),
    "bounded below": lambda number: nn.functional.softplus(number + 5) - 5,
    "by its name": lambda number: {"mean": number, "log_variance": number.exp()},
}


@pytest.mark.parametrize("end", VARIANCES)
def test_a_variance_is_not_read_as_its_logarithm(end: str) -> None:
    with pytest.raises(OptionError, match=r"GaussianNLLLoss takes it: wrap the model .* variance\.log"):
        MCDropout(Noisy(VARIANCES[end]), task="heteroscedastic").predict(X)


@pytest.mark.parametrize("end", LOGARITHMS)
def test_a_logarithm_is_taken_however_it_was_made(end: str) -> None:
    assert MCDropout(Noisy(LOGARITHMS[end]), task="heteroscedastic").predict(X).std.shape == (6,)
