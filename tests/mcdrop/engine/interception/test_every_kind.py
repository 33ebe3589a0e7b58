"""Every kind of randomness, on a small model of its own: the same three proofs for each."""

import pytest
import torch
from torch import Tensor

from mcdrop.engine.oracle import native_oracle
from mcdrop.engine.verification import verify
from tests.support.models import CASES, Case, case
from tests.support.replaying import by_row, consistent, independent, network_of_case, samples
from tests.support.tolerances import FLOAT32, monte_carlo

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout2d. Received a"),
]

every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)
every_fast_case = pytest.mark.parametrize(
    "case", [c for c in CASES if c.strategy == "vmap"], ids=lambda c: c.name
)


@every_case
def test_the_native_oracle_agrees_and_every_native_draw_is_explained(case: Case) -> None:
    network, call = network_of_case(case)
    packed = any("packed" in site.kind for site in network.sites.values())
    result = native_oracle(network, call.take(slice(0, 1)) if packed else call)
    assert result.explained == len(result.native_draws) > 0
    assert result.difference is not None
    assert result.difference <= FLOAT32["atol"]


@every_case
def test_the_sites_are_found_and_the_plan_takes_the_fastest_strategy_that_runs(case: Case) -> None:
    network, call = network_of_case(case)
    assert len(network.sites) == case.sites
    assert verify(network, call).strategy == case.strategy


@every_case
def test_the_loop_gives_each_row_what_it_gets_alone(case: Case) -> None:
    network, call = network_of_case(case)
    for keys in (consistent(call), independent(call)):
        for got, wanted in zip(
            samples("loop", network, call, keys), by_row(network, call, keys), strict=True
        ):
            torch.testing.assert_close(got, wanted, **FLOAT32)


@every_fast_case
def test_vmap_gives_each_row_what_it_gets_alone(case: Case) -> None:
    network, call = network_of_case(case)
    for keys in (consistent(call, seed=5), independent(call, seed=5)):
        for got, wanted in zip(
            samples("vmap", network, call, keys), by_row(network, call, keys), strict=True
        ):
            torch.testing.assert_close(got, wanted, **FLOAT32)


BRUTE = (
    "nn.Dropout",
    "nn.Dropout2d",
    "nn.AlphaDropout",
    "nn.FeatureAlphaDropout",
    "F.dropout in place, used twice",
    "attention, causal",
    "encoder",
    "sdpa, grouped, causal, scale",
    "LSTM, three layers, both directions",
    "GRU",
    "bernoulli of the data",
    "randn",
    "exponential_",
    "gumbel_softmax",
    "nn.RReLU",
    "DropPath",
)


@pytest.mark.parametrize("name", BRUTE)
def test_mean_and_spread_are_those_of_passes_in_train_mode(name: str) -> None:
    model, inputs = case(name).make()
    network, call = network_of_case(case(name))
    row = call.take(slice(0, 1))
    ours = torch.cat([samples("vmap", network, row, consistent(row, seed))[0][:, 0] for seed in range(40)])
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(0)
        brute = model.train()(*(x[:1].expand(4000, *x.shape[1:]).clone() for x in inputs))
    for statistic in (_mean, _variance):
        (a, scale_a), (b, scale_b) = statistic(ours), statistic(brute)
        bound = (monte_carlo(len(ours)) * scale_a).hypot(monte_carlo(len(brute)) * scale_b)
        assert ((a - b).abs() <= bound + FLOAT32["atol"]).all()


def _mean(x: Tensor) -> tuple[Tensor, Tensor]:
    """The mean, and the standard deviation of what it averages."""
    return x.mean(0), x.std(0)


def _variance(x: Tensor) -> tuple[Tensor, Tensor]:
    squares = (x - x.mean(0)) ** 2
    return squares.mean(0), squares.std(0)
