import itertools
import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcdrop.errors import DomainError, ShapeError
from mcdrop.nn import DropBlock1d, DropBlock2d, DropBlock3d
from mcdrop.nn.dropblock import seed_rate
from tests.support.tolerances import monte_carlo

LAYERS = {1: DropBlock1d, 2: DropBlock2d, 3: DropBlock3d}


@pytest.fixture(autouse=True)
def _the_same_draws_each_time() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield


@given(st.integers(1, 9), st.integers(1, 9), st.integers(1, 5), st.integers(1, 5), st.floats(0, 0.9))
@settings(deadline=None, max_examples=50)
def test_the_expected_share_is_the_rate(height: int, width: int, rows: int, columns: int, p: float) -> None:
    """By counting, for each element, the blocks that cover it."""
    sizes, blocks = (height, width), (min(rows, height), min(columns, width))
    rate = seed_rate(p, sizes, blocks)
    dropped = 0.0
    for at in itertools.product(range(height), range(width)):
        corners = [
            range(max(0, a - b + 1), min(a, n - b) + 1) for a, n, b in zip(at, sizes, blocks, strict=True)
        ]
        dropped += 1 - (1 - rate) ** math.prod(map(len, corners))
    assert dropped / (height * width) == pytest.approx(p, abs=1e-9)


def test_for_blocks_of_one_element_the_rate_of_seeds_is_the_rate() -> None:
    assert seed_rate(0.3, (5, 7), (1, 1)) == pytest.approx(0.3)


def test_for_small_rates_it_is_that_of_the_paper() -> None:
    p, size, block = 1e-4, 20, 5
    paper = p / block**2 * size**2 / (size - block + 1) ** 2
    assert seed_rate(p, (size, size), (block, block)) == pytest.approx(paper, rel=2e-3)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_the_dropped_share_of_many_maps_is_the_rate(axes: int) -> None:
    x = torch.ones(4000, 1, *(8, 6, 5)[:axes])
    shares = (LAYERS[axes](0.25, 3).train()(x) == 0).double().flatten(1).mean(1)
    assert abs(float(shares.mean()) - 0.25) <= monte_carlo(4000, scale=float(shares.std()))


def test_what_is_dropped_are_blocks_within_the_map() -> None:
    dropped = DropBlock2d(0.05, 3).train()(torch.ones(50, 1, 12, 12)) == 0
    inside = (
        torch.nn.functional.max_pool2d(-dropped.float(), 3, 1) == -1
    )  # corners of blocks that are all dropped
    grown = torch.nn.functional.max_pool2d(torch.nn.functional.pad(inside.float(), [2] * 4), 3, 1) == 1
    assert torch.equal(grown, dropped)
    assert dropped.any()


def test_channels_and_rows_are_dropped_apart() -> None:
    dropped = (DropBlock1d(0.5, 2).train()(torch.ones(20, 3, 10)) == 0).flatten(0, 1)
    assert len({tuple(mask.tolist()) for mask in dropped}) > 30


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_an_input_of_another_rank_is_refused(axes: int) -> None:
    with pytest.raises(ShapeError, match=rf"x must be \(N, C\) and {axes} more axes, got shape \(2, 3\)"):
        LAYERS[axes](0.1).train()(torch.ones(2, 3))


@pytest.mark.parametrize(
    ("options", "why"), [((1.0, 3), "p must be"), ((0.1, 0), "block_size"), ((0.1, 2.5), "block_size")]
)
def test_numbers_outside_their_range_are_refused(options: tuple[Any, Any], why: str) -> None:
    with pytest.raises(DomainError, match=why):
        DropBlock2d(*options)
