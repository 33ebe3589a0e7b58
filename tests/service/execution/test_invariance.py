"""The label of a model: what was found when it was loaded, and what an operator can demand."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import count
from pathlib import Path
from typing import Any, Literal, cast

import pytest
import torch
from mcdrop_service.errors import NotBitwiseError
from mcdrop_service.execution import Engine, Servable
from mcdrop_service.execution.checkpoint_model import CheckpointModel
from mcdrop_service.execution.invariance import batch_invariance
from mcdrop_service.facts import ModelFacts
from mcdrop_service.settings import Settings
from mcdrop_service.web import Service
from torch import Tensor, nn

import mcdrop
from mcdrop.blocks import Cell, ExactBlocks
from mcdrop.engine.inputs import Call
from tests.service.fake_server import FakeModel
from tests.service.models import facts
from tests.support.checkpoints import small_checkpoint


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


@dataclass
class Leaky:
    """Blocks in which something of a cell's company reaches its numbers."""

    leak: Callable[[Sequence[Cell], Cell], float]
    rows: int = 4
    shares_masks: bool = False

    def run(self, company: Sequence[Cell]) -> Sequence[Tensor]:
        """For each cell a number."""
        return [torch.tensor(1 + 1e-6 * self.leak(company, cell)) for cell in company]


@pytest.mark.parametrize(
    ("leak", "wanted"),
    [
        (lambda _company, _cell: 0, "bitwise"),
        (lambda company, cell: [each is cell for each in company].index(True), "tolerance"),
        (lambda company, _cell: len(company), "tolerance"),
        (lambda company, cell: sum(each.key.seed for each in company) - cell.key.seed, "tolerance"),
    ],
    ids=["nothing", "its place", "how many there are", "the seeds of the others"],
)
def test_whatever_of_its_company_reaches_a_row_is_found(leak: Any, wanted: str) -> None:
    example = mcdrop.MCDropout(Drifting().layers, task="raw").as_call(torch.zeros(1, 3))
    assert batch_invariance(cast("ExactBlocks", Leaky(leak)), example) == wanted


def engine_of(model: FakeModel, demanded: Literal["any", "bitwise"]) -> Engine:
    settings = Settings(batch_invariance=demanded)
    return Service.of({"toy": [cast("Servable", model)]}, settings).engine


@pytest.mark.parametrize("found", ["bitwise", "tolerance"])
def test_a_checkpoint_has_the_label_that_was_found(
    found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mc = mcdrop.load(small_checkpoint(tmp_path / "small"))

    def finds(blocks: ExactBlocks, _example: Call) -> str:
        assert blocks.rows == mc.exact_blocks(torch.zeros(1, 10)).rows
        return found

    monkeypatch.setattr("mcdrop_service.execution.checkpoint_model.batch_invariance", finds)
    assert CheckpointModel.of("small", mc).warm_up().batch_invariance == found


@pytest.mark.parametrize("demanded", ["any", "bitwise"])
def test_a_model_that_is_not_bitwise_is_refused_where_that_is_demanded(
    demanded: Literal["any", "bitwise"],
) -> None:
    async def start() -> str:
        engine = engine_of(Tolerant(broken=False), demanded)
        try:
            await engine.start()
            return engine.facts("toy").batch_invariance
        finally:
            engine.stop()

    if demanded == "bitwise":
        with pytest.raises(NotBitwiseError, match="answers of toy differ in company"):
            asyncio.run(start())
    else:
        assert asyncio.run(start()) == "tolerance"


def test_the_old_model_stays_where_a_new_one_is_not_what_is_demanded() -> None:
    async def main() -> str:
        engine = engine_of(FakeModel(broken=False), "bitwise")
        await engine.start()
        with pytest.raises(NotBitwiseError):
            await engine.exchange("toy", [cast("Servable", Tolerant(broken=False))])
        found = engine.facts("toy").batch_invariance
        engine.stop()
        return found

    assert asyncio.run(main()) == "bitwise"
