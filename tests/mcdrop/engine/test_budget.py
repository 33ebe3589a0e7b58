"""Memory: what a tile is estimated to hold, tiles below a budget, and the same answers under any."""

import gc
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.budget import KEPT_BYTES, Budget, Load, free_memory
from mcdrop.engine.footprint import Footprint
from mcdrop.engine.sampling import Plan
from mcdrop.errors import DomainError, TooLittleMemoryError
from mcdrop.moments import Moments, RunningMoments
from mcdrop.prediction import Reduction, Stream
from mcdrop.predictive import task_named
from tests.support.networks import classifier, features, fixed
from tests.support.tolerances import EXACT, FLOAT32

MIB = 2**20
X = features(12, 3, 24, 24)


def network() -> nn.Module:
    """Each row and sample holds some hundred KiB."""
    layers = [nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.3), nn.Conv2d(16, 16, 3, padding=1)]
    return fixed(nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 3)))


@pytest.fixture(scope="module")
def mc() -> MCDropout:
    found = MCDropout(network(), task="classification", n_samples=40)
    found.trace(X)
    return found


def fitted(mc: MCDropout, given: int | None, load: Load | None = None, *, rows: int = 64) -> Plan:
    plan = Plan(mc.plan.network, "vmap", rows, 4)
    return Budget(given).fitted(plan, mc.plan.footprint, load or Load())


# --- what a pass holds -----------------------------------------------------------------------------


def test_what_a_pass_holds_by_hand() -> None:
    mc = MCDropout(nn.Sequential(nn.Linear(4, 100), nn.ReLU(), nn.Dropout(0.5), nn.Linear(100, 10)).eval())
    mc.trace(torch.zeros(5, 4))
    found = mc.plan.footprint
    assert (found.prefix, found.suffix, found.masks) == (400, 400, 400)
    assert found.live_prefix == 800  # the linear layer's output and that of ReLU
    assert 400 <= found.live_suffix <= 1200


def test_layers_that_follow_each_other_are_not_held_at_once() -> None:
    def deep(layers: int) -> Footprint:
        hidden = [layer for _ in range(layers) for layer in (nn.Linear(64, 64), nn.ReLU(), nn.Dropout(0.5))]
        mc = MCDropout(nn.Sequential(*hidden, nn.Linear(64, 2)).eval())
        mc.trace(torch.zeros(3, 64))
        return mc.plan.footprint

    assert deep(6).live_suffix == deep(2).live_suffix
    assert deep(6).masks == 3 * deep(2).masks


# --- tiles that fit --------------------------------------------------------------------------------


def test_rows_are_split_first_and_samples_then(mc: MCDropout) -> None:
    tiles = [(fitted(mc, given * MIB).rows, fitted(mc, given * MIB).blocks) for given in (2000, 100, 50, 24)]
    assert tiles[0] == (64, 4)
    assert tiles == sorted(tiles, reverse=True)
    assert all(blocks == 4 or rows == 1 for rows, blocks in tiles)
    assert tiles[-1][0] == 1


def test_results_and_masks_of_their_own_leave_less(mc: MCDropout) -> None:
    assert fitted(mc, 400 * MIB, Load(results=250 * MIB)).rows < fitted(mc, 400 * MIB).rows
    large = Plan(mc.plan.network, "vmap", 64, 1)
    size = Footprint(1, 1, 50_000, 1, 1)
    shared = Budget(60 * MIB).fitted(large, size, Load())
    own = Budget(60 * MIB).fitted(large, size, Load(own_masks=True))
    assert own.rows < shared.rows == 64


def test_a_budget_that_one_row_does_not_fit_in_is_an_error(mc: MCDropout) -> None:
    with pytest.raises(
        TooLittleMemoryError, match=r"memory_budget of 17 MiB is too small: one row x 16 samples hold about"
    ):
        mc.predict(X, memory_budget=17 * MIB)
    with pytest.raises(TooLittleMemoryError, match=r"beside .* of results .* keep_samples=False"):
        mc.predict(X, memory_budget=100 * MIB, n_samples=10**7, keep_samples=True)
    with pytest.raises(TooLittleMemoryError, match="rows, a block of exact mode, x 16 samples"):
        mc.predict(X, memory_budget=17 * MIB, exact=True)


@pytest.mark.parametrize("budget", [0, -1, 1.5e9, "1 GiB", True])
def test_a_budget_is_a_number_of_bytes(budget: Any) -> None:
    with pytest.raises(DomainError, match=r"memory_budget must be a number of bytes, .* got"):
        MCDropout(classifier(), memory_budget=budget)


def test_without_a_budget_tiles_are_those_of_the_cache(mc: MCDropout) -> None:
    plan = mc.plan.fast(len(X))
    assert Budget().fitted(plan, mc.plan.footprint, Load()) is plan


def test_the_default_never_refuses(mc: MCDropout) -> None:
    endless = Footprint(1, 1, 1, 2**50, 2**50)
    found = Budget().fitted(mc.plan.fast(len(X)), endless, Load(results=2**60))
    assert (found.rows, found.blocks) == (1, 1)


def test_free_memory_is_that_of_the_machine_or_less() -> None:
    assert 2**20 < free_memory(torch.device("cpu")) < 2**50


# --- the same answers ------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"n_samples": "auto", "tolerance": 0.005, "max_samples": 100}])
def test_answers_are_the_same_under_any_budget(mc: MCDropout, options: dict[str, Any]) -> None:
    expected = mc.predict(X, quantiles=[0.1], keep_samples=False, **options)
    found = mc.predict(X, quantiles=[0.1], keep_samples=False, memory_budget=60 * MIB, **options)
    for name in (*expected.available_outputs(), "level_values"):
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), **FLOAT32)


def test_exact_answers_keep_their_bits_under_a_budget(mc: MCDropout) -> None:
    expected = mc.predict(X, exact=True)
    found = MCDropout(mc.model, task="classification", n_samples=40, memory_budget=800 * MIB).predict(
        X, exact=True
    )
    torch.testing.assert_close(found.mean, expected.mean, **EXACT)
    torch.testing.assert_close(found.samples, expected.samples, **EXACT)


# --- samples and moments ---------------------------------------------------------------------------


def test_samples_are_kept_up_to_a_size_or_a_share_of_the_budget() -> None:
    assert Budget().kept_samples() == KEPT_BYTES == 256 * MIB
    assert Budget(2**33).kept_samples() == KEPT_BYTES
    assert Budget(100 * MIB).kept_samples() == 25 * MIB
    mc = MCDropout(fixed(nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.5), nn.Linear(8, 64))), task="raw")
    x = features(200)  # 200 x 64 x 4 bytes x 400 samples = 20 MiB
    assert mc.predict(x, n_samples=400).kept_samples is not None
    assert mc.predict(x, n_samples=400, memory_budget=64 * MIB).kept_samples is None


def test_moments_take_no_more_memory_for_more_samples() -> None:
    def held(samples: int) -> int:
        stream, task = Stream(samples, stratified=True), task_named("classification")
        for _ in range(samples // 16):
            stream.add(Reduction.of(task, torch.zeros(16, 50, 3), keep=False))
        return sum(numbers.nbytes for numbers in reachable(stream))

    assert held(16 * 100) == held(16 * 40) > 0


def reachable(root: object) -> list[Tensor | NDArray[Any]]:
    """The tensors and arrays that an object holds, at any depth."""
    seen, pending, found = {id(root)}, [root], []
    while pending:
        for each in gc.get_referents(pending.pop()):
            if isinstance(each, Tensor | np.ndarray):
                found.append(each)
            elif id(each) not in seen and isinstance(each, dict | list | Moments | RunningMoments):
                seen.add(id(each))
                pending.append(each)
    return found


def test_the_masks_that_are_kept_count_against_the_budget(mc: MCDropout) -> None:
    mc.predict(X, memory_budget=80 * MIB)
    assert mc.plan.network.cache.limit == 10 * MIB
    mc.predict(X)
    assert mc.plan.network.cache.limit == 64 * MIB
