"""The benchmark of the engine: rivals in processes of their own, and who takes turns with whom."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from benchmarks import engine
from benchmarks.rivals import networks, processes
from benchmarks.rivals.ways import WAYS, Sample

SMALL = "MLP 32-256-256-10, 1"


def test_every_process_has_the_same_networks_and_inputs() -> None:
    for once, again in zip(networks.cases(), networks.cases(), strict=True):
        assert once.name == again.name
        torch.testing.assert_close(again.x, once.x, rtol=0, atol=0)
        for name, tensor in once.model.state_dict().items():
            torch.testing.assert_close(again.model.state_dict()[name], tensor, rtol=0, atol=0)


def test_a_rival_answers_from_a_process_of_its_own() -> None:
    with processes.rivals(SMALL, 4) as rivals:
        assert not rivals["loop"].refused
        assert (rivals["loop"].calls, rivals["replication"].calls) == (2 * 4, 2)
        assert 0 < rivals["replication"].seconds(3) < 1


def test_a_rival_that_does_not_vary_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    def without_dropout(model: nn.Module, samples: int) -> Sample:
        def sample(x: Tensor) -> Tensor:
            return torch.stack([model(x).detach()] * samples)

        return sample

    monkeypatch.setitem(WAYS, "without dropout", without_dropout)
    _, calls, varies = processes._looked_at("without dropout", networks.case_named(SMALL), 4)
    assert (calls, varies) == (0, False)


def test_contenders_take_turns_in_rounds_of_twenty_milliseconds() -> None:
    asked: list[tuple[str, int]] = []

    def contender(name: str, each: float) -> Callable[[int], float]:
        def seconds(runs: int) -> float:
            asked.append((name, runs))
            return each * len(asked)

        return seconds

    medians = engine.medians({"short": contender("short", 0.001), "long": contender("long", 1)}, 3)
    assert asked[:3] == [("short", 1)] * 2 + [("long", 1)]
    assert asked[3:] == [("short", 10), ("long", 1)] * 3
    assert medians == {"short": 6.0, "long": 7000.0}
