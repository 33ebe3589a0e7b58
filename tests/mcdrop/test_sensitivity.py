"""Which sites carry the variance: closed forms, the same with the other rates at zero, and every kind."""

import copy
import math

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.errors import DomainError, NothingRandomError
from mcdrop.sensitivity import Estimate
from tests.support.models import CASES, Case
from tests.support.networks import classifier, features
from tests.support.tolerances import FLOAT32, FLOAT64

ONE_OUTPUT = [
    case for case in CASES if "weights" not in case.name or case.name == "LSTM with dropped weights"
]


class Sum(nn.Module):
    """Two dropped inputs, added: each site brings its own variance."""

    def __init__(self, first: float, second: float) -> None:
        super().__init__()
        self.first, self.second = nn.Dropout(first), nn.Dropout(second)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.first(x) + 2 * self.second(x)
        return out


class Product(nn.Module):
    """One number, dropped twice: the sites strengthen each other."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Dropout(0.5), nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x))
        return out


def close(found: Estimate, truth: float) -> bool:
    return abs(found.value - truth) <= 5 * found.standard_error + 1e-9


def test_of_a_sum_each_site_has_the_variance_of_its_own_term() -> None:
    x = torch.tensor([[1.0, 3.0], [2.0, 0.5]])
    found = MCDropout(Sum(0.2, 0.5), n_samples=1024, rng="philox-1-plain").sensitivity(x)
    squares = x.square().sum().item() / 2  # summed over a row's outputs, mean over the two rows
    first, second = squares * 0.25, 4 * squares
    assert [each.site.name for each in found.sites] == ["first#0", "second#0"]
    assert close(found.sites[0].alone, first)
    assert close(found.sites[0].without, second)
    assert close(found.sites[1].share, second / (first + second))
    assert close(found.sites[1].lost, second / (first + second))
    assert close(found.total, first + second)
    assert found.ranked()[0].site.name == "second#0"


def test_of_a_product_no_share_is_the_whole_story() -> None:
    # Var(d1 d2) = 2 * 2 - 1 = 3 for two masks of variance 1: alone a third, but without it two thirds go
    found = MCDropout(Product(), n_samples=2048, rng="philox-1-plain").sensitivity(torch.ones(1, 1))
    assert close(found.total, 3)
    for each in found.sites:
        assert close(each.alone, 1)
        assert close(each.share, 1 / 3)
        assert close(each.lost, 2 / 3)


def test_a_site_alone_has_the_variance_that_is_left_with_the_other_rates_at_zero() -> None:
    model = classifier()
    other = copy.deepcopy(model)
    other[2].p = 0.0  # type: ignore[index]
    x = features(5, 6)
    found = MCDropout(model, task="classification", n_samples=48).sensitivity(x).sites[1]
    pred = MCDropout(other, task="classification", n_samples=48).predict(x)
    variance = pred.sample_std.to(torch.float64).square().sum(1).mean().item()
    assert found.alone.value == pytest.approx(variance, rel=1e-4)
    torch.testing.assert_close(found.setting.mean.float(), pred.mean, **FLOAT32)
    torch.testing.assert_close(found.setting.standard_error.float(), pred.standard_error, **FLOAT32)


def test_the_standard_error_is_the_spread_over_seeds() -> None:
    mc, x = MCDropout(Sum(0.2, 0.5), n_samples=64, rng="philox-1-plain"), torch.tensor([[1.0, 3.0]])
    found = [mc.sensitivity(x, seed=seed).sites[0].share for seed in range(60)]
    values = torch.tensor([each.value for each in found])
    stated = torch.tensor([each.standard_error for each in found]).square().mean().sqrt().item()
    # the relative error of a standard deviation from 60 values is 1 / sqrt(2 * 59)
    assert abs(stated / values.std().item() - 1) < 5 / math.sqrt(118)


@pytest.mark.filterwarnings("ignore::UserWarning")  # torch warns of some of these models
@pytest.mark.parametrize("case", ONE_OUTPUT, ids=lambda case: case.name)
def test_every_kind_of_site_can_be_switched_off_and_on(case: Case) -> None:
    model, inputs = case.make()
    mc = MCDropout(model, n_samples=32, batch_axis=case.batch_axis)
    found = mc.sensitivity(*inputs)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        once, twice = (model(*(x.clone() for x in inputs)) for _ in range(2))
    (rows,) = mc.plan.network.outputs.rows_first(once)
    if torch.equal(once, twice):  # else it draws in eval mode as well
        torch.testing.assert_close(found.deterministic, rows.to(torch.float64), **FLOAT32)
    assert len(found.sites) == case.sites
    if case.sites == 1:
        assert found.sites[0].share.value == pytest.approx(1, rel=FLOAT64["rtol"])
        assert found.sites[0].without == Estimate(0.0, 0.0)
    assert found.total.value > 0 or case.name == "nn.Dropout(p=1)"
    assert not model.training


def test_rows_with_masks_of_their_own_can_be_measured() -> None:
    found = MCDropout(classifier(), masks="independent", n_samples=32).sensitivity(features(5, 6))
    assert all(0 < each.share.value < 1 for each in found.sites)


def test_one_block_has_no_standard_error() -> None:
    with pytest.raises(DomainError, match="n_samples must be at least 32 for standard errors"):
        MCDropout(classifier()).sensitivity(features(5, 6), n_samples=16)


def test_samples_are_rounded_up_to_whole_blocks() -> None:
    assert MCDropout(classifier()).sensitivity(features(5, 6), n_samples=33).n_samples == 48


def test_a_model_without_dropout_is_refused() -> None:
    with pytest.raises(NothingRandomError, match="every pass would be the same"):
        MCDropout(nn.Linear(6, 3)).sensitivity(features(5, 6))


def test_where_nothing_moves_shares_are_not_a_number() -> None:
    found = MCDropout(nn.Sequential(nn.Dropout(1e-9), nn.Linear(6, 3))).sensitivity(features(2, 6))
    assert found.total.value == 0
    assert math.isnan(found.sites[0].share.value)


def test_it_reads_as_a_few_lines() -> None:
    found = MCDropout(Sum(0.5, 0.5), n_samples=64).sensitivity(torch.ones(3, 2))
    first, *lines = repr(found).splitlines()
    assert first.startswith("variance ")
    assert [line.partition(": alone ")[0] for line in lines] == ["first#0", "second#0"]
    assert repr(found.sites[0]) == lines[0]
    assert "tensor(" not in repr(found) + repr(found.sites)
