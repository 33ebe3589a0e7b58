"""What is made when a model is loaded, so that no request waits for it."""

from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch
from mcdrop_service.execution import Lane, Task
from mcdrop_service.execution.checkpoint_model import CheckpointModel
from mcdrop_service.execution.health import Health
from mcdrop_service.facts import ModelFacts, PredictionRequest
from mcdrop_service.scheduler import Unit
from mcdrop_service.telemetry import Notes
from torch import Tensor, nn

import mcdrop
from mcdrop.checkpoint import InputSpec
from tests.support.checkpoints import small_checkpoint, small_manifest

ROWS = np.random.default_rng(0).standard_normal((4, 10)).astype(np.float32)


def results(model: CheckpointModel, rows: int) -> list[Tensor]:
    """What the units of a request of some rows and 30 samples come to."""
    asked = PredictionRequest({"columns": ROWS[:rows]}, rows, 30, 7, ("mean",), ())
    task = Task(
        cast("ModelFacts", None), asked, model, Lane(16, 16, mixes=True), Notes(), cast("Health", None)
    )
    units = [Unit(0, task, row, block, 0) for row in range(rows) for block in range(2)]
    return [result for unit in units for result in model.run([unit])]


def test_the_first_requests_run_without_the_python_of_the_model(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fresh, warm = (CheckpointModel.of("small", mcdrop.load(small_checkpoint(tmp_path / n))) for n in "ab")
    warm.warm_up()
    wanted = results(fresh, 4)
    monkeypatch.delattr(nn.Linear, "forward")
    assert all(torch.equal(a, b) for a, b in zip(results(warm, 4), wanted, strict=True))


class AnyLength(nn.Module):
    """(N, T) -> (N, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        dropped = self.drop(x + 1)
        return torch.stack([dropped.mean(1), dropped.amax(1)], 1)


def test_nothing_is_rehearsed_for_a_length_that_nobody_may_ask_for() -> None:
    mc = mcdrop.MCDropout(AnyLength().eval(), task="regression", n_samples=30)
    manifest = small_manifest(inputs=[InputSpec(name="columns", dtype="float32", shape=[-1])])
    model = CheckpointModel("any", mc, manifest, "sha256:0")
    model.warm_up()
    assert not model._preparation._signatures
