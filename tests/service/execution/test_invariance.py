"""The label of a model: what was found when it was loaded, and what an operator can demand."""

import asyncio
from dataclasses import replace
from itertools import count
from typing import cast

import pytest
import torch
from mcdrop_service.errors import NotBitwiseError
from mcdrop_service.execution import Engine, Servable
from mcdrop_service.execution.invariance import batch_invariance
from mcdrop_service.facts import ModelFacts
from mcdrop_service.scheduler import QueueLimits
from torch import Tensor, nn

import mcdrop
from tests.service.fake_server import FakeModel
from tests.service.models import facts


class Drifting(nn.Module):
    """Adds a little more to its output at each pass, as a kernel that sums in any order would."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2))
        self.passes = count()

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3) -> (N, 2)."""
        out: Tensor = self.layers(x) + next(self.passes) * 1e-6
        return out


class Tolerant(FakeModel):
    """Says of itself that it is right up to rounding only."""

    def warm_up(self) -> ModelFacts:
        """The facts of the toy model with this label."""
        return replace(facts(), batch_invariance="tolerance")


def label(model: nn.Module, x: Tensor) -> str:
    mc = mcdrop.MCDropout(model.eval(), task="raw", verify=False)
    return batch_invariance(mc.exact_blocks(x), mc.as_call(x))


def test_a_plain_network_is_bitwise() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert label(Drifting().layers, torch.zeros(1, 3)) == "bitwise"


def test_a_network_that_never_gives_the_same_bits_twice_is_right_up_to_a_tolerance() -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        assert label(Drifting(), torch.zeros(1, 3)) == "tolerance"


@pytest.mark.parametrize("bitwise", [True, False])
def test_a_model_that_is_not_bitwise_is_refused_where_that_is_demanded(bitwise: bool) -> None:
    async def start() -> str:
        model = cast("Servable", Tolerant(broken=False))
        engine = Engine({"toy": [model]}, QueueLimits(10, 10), lambda *_: None, bitwise=bitwise)
        try:
            await engine.start()
            return engine.facts("toy").batch_invariance
        finally:
            engine.stop()

    if bitwise:
        with pytest.raises(NotBitwiseError, match="answers of toy differ in company"):
            asyncio.run(start())
    else:
        assert asyncio.run(start()) == "tolerance"
