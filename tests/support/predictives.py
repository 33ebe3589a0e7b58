"""Predictives made from raw outputs, as a prediction makes them, without a network."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mcdrop.prediction import Reduction, Wanted, finish, single_law
from mcdrop.predictive import Predictive, Sampled, Task, task_named
from tests.support.tolerances import EXACT

__all__ = ["assert_same_rows", "predictive_of", "raw_outputs"]


def predictive_of(
    raw: Tensor,
    task: str | Task,
    *,
    deterministic: Tensor | None = None,
    levels: Sequence[float] = (),
    keep: bool = True,
    seed: int = 0,
) -> Predictive:
    """What the raw outputs (S, N, ...) of all samples give; the first stands for the deterministic pass."""
    wanted = Wanted(
        task_named(task) if isinstance(task, str) else task,
        tuple(levels),
        keep,
        Sampled(len(raw), seed, "consistent", "philox-1"),
    )
    blocks = [Reduction.of(wanted.task, block, keep=keep or bool(levels)) for block in torch.split(raw, 16)]
    single = single_law(wanted.task, raw[0] if deterministic is None else deterministic)
    summary = Reduction.chain(blocks).summary(stratified=wanted.stratified)
    return finish(summary, single, wanted, raw.shape[1])


def raw_outputs(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float32) -> Tensor:
    """Standard normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).to(dtype)


def assert_same_rows(found: Predictive, expected: Predictive) -> None:
    """Fail unless both hold the same rows, to the last bit, and were sampled in the same way."""
    for (name, a, _), (_, b, _) in zip(found.row_tensors(), expected.row_tensors(), strict=True):
        assert (a is None) == (b is None), name
        if a is not None and b is not None:
            torch.testing.assert_close(a, b, **EXACT, equal_nan=True)
    assert found.facts() == expected.facts()
