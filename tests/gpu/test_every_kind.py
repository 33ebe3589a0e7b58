"""Every kind of randomness on a CUDA device: the oracle, the loop over rows, the masks of the CPU."""

import pytest
import torch
from torch import Tensor, nn

from mcdrop.engine.masks import BlockKey
from mcdrop.engine.network import Network
from mcdrop.engine.oracle import native_oracle
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.verification import verify
from tests.support.models import CASES, Case
from tests.support.replaying import by_row, consistent, independent, network_and_call, samples
from tests.support.tolerances import EXACT, Tolerance

pytestmark = [
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported"),
    pytest.mark.filterwarnings("ignore:dropout2d. Received a"),
    pytest.mark.filterwarnings("ignore:RNN module weights are not part of single contiguous chunk"),
]

KERNELS = Tolerance(rtol=1e-4, atol=1e-4)
"""Kernels are chosen by shape, so sums are in other orders for one row than for a batch."""

every_case = pytest.mark.parametrize("case", CASES, ids=lambda c: c.name)


def on_device(case: Case, device: torch.device) -> tuple[nn.Module, tuple[Tensor, ...]]:
    """The model and its inputs on the device; what holds lengths stays on the CPU, as torch wants it.

    Models that make tensors on the CPU by themselves do not run there, and are skipped.
    """
    model, inputs = case.make()
    moved = tuple(x if x.dtype == torch.long and x.dim() == 1 else x.to(device) for x in inputs)
    model.to(device).train()
    try:
        with torch.no_grad(), torch.random.fork_rng():
            model(*(x.clone() for x in moved))
    except RuntimeError as error:
        if "device" in str(error):
            pytest.skip("this model makes tensors on the CPU by itself")
        raise
    return model.eval(), moved


@every_case
def test_the_oracle_agrees_and_the_state_of_the_device_stays(case: Case, device: torch.device) -> None:
    model, inputs = on_device(case, device)
    before = torch.cuda.get_rng_state(), torch.get_rng_state()
    network, call = network_and_call(model, *inputs, batch_axis=case.batch_axis)
    packed = any("packed" in site.kind for site in network.sites.values())
    result = native_oracle(network, call.take(slice(0, 1)) if packed else call)
    assert result.explained == len(result.native_draws) > 0
    assert result.difference is not None
    assert result.difference <= KERNELS["atol"]
    samples(verify(network, call).strategy, network, call, consistent(call))
    after = torch.cuda.get_rng_state(), torch.get_rng_state()
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@every_case
def test_each_row_has_what_it_has_alone(case: Case, device: torch.device) -> None:
    model, inputs = on_device(case, device)
    network, call = network_and_call(model, *inputs, batch_axis=case.batch_axis)
    strategies = {case.strategy, verify(network, call).strategy}
    for keys in (consistent(call), independent(call)):
        wanted = by_row(network, call, keys)
        for strategy in strategies:
            for got, alone in zip(samples(strategy, network, call, keys), wanted, strict=True):
                assert got.device.type == device.type
                torch.testing.assert_close(got, alone, **KERNELS)


@every_case
def test_masks_are_the_bits_of_the_cpu(case: Case, device: torch.device) -> None:
    model, inputs = on_device(case, device)
    there, _ = network_and_call(model, *inputs, batch_axis=case.batch_axis)
    cpu_model, cpu_inputs = case.make()
    here, _ = network_and_call(cpu_model, *cpu_inputs, batch_axis=case.batch_axis)
    assert list(there.sites) == list(here.sites)
    for mask, expected in zip(masks(there), masks(here), strict=True):
        assert mask.device.type == device.type
        torch.testing.assert_close(mask.cpu(), expected, **EXACT)


def masks(network: Network) -> list[Tensor]:
    """The masks of one block for two rows, site by site."""
    keys = [BlockKey(3, row, 1) for row in (4, 9)]
    draws = BlockDraws(network.sites, [keys], "philox-1", network.cache)
    return [draws.get(key, site.kind, site.law, site.shape) for key, site in network.sites.items()]
