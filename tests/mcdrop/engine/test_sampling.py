"""Tiles of rows and blocks of samples, also where the device runs out of memory."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.sampling import Draw, block_groups, sample_call
from mcdrop.errors import TooLittleMemoryError
from tests.support.networks import classifier, features
from tests.support.tolerances import EXACT, FLOAT32

X = features(50)


def out_of_memory(text: str) -> None:
    raise torch.OutOfMemoryError(text)


def told(text: str) -> Callable[[str], None]:
    """Fails with a plain error of that text."""

    def fail(_: str) -> None:
        raise RuntimeError(text)

    return fail


class Small(nn.Module):
    """A device with room for so many rows: for more, torch's own error."""

    def __init__(self, most: int, full: Callable[[str], object] = out_of_memory) -> None:
        super().__init__()
        self.inner = classifier()
        self.most = most
        self.full = full
        self.failures = 0

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        if len(x) > self.most:
            self.failures += 1
            self.full(f"CUDA out of memory. Tried to allocate {len(x)} rows")
        out: Tensor = self.inner(x)
        return out


def small(most: int) -> MCDropout:
    return MCDropout(Small(most).eval(), task="classification", n_samples=100)


AMPLE = small(1000)


@pytest.mark.parametrize("most", [3, 7, 49])
def test_tiles_are_halved_until_they_fit_and_the_answer_is_the_same(most: int) -> None:
    found, expected = small(most).predict(X), AMPLE.predict(X)
    for name in expected.available_outputs():
        torch.testing.assert_close(getattr(found, name), getattr(expected, name), **FLOAT32)
    torch.testing.assert_close(small(most).sample(X), AMPLE.sample(X), **FLOAT32)


@pytest.mark.parametrize(
    "full",
    [
        told("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        told("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"),
        told("CUDA error: out of memory"),
        lambda _: torch.empty(2**60, dtype=torch.uint8),  # the processor's own
    ],
)
def test_so_they_are_where_a_library_says_that_memory_ran_out(full: Callable[[str], object]) -> None:
    mc = MCDropout(Small(7, full).eval(), task="classification", n_samples=100)
    view = mc.trace(X) and mc.plan.network.view
    assert isinstance(view, Small)
    view.failures = 0
    torch.testing.assert_close(mc.predict(X).mean, AMPLE.predict(X).mean, **FLOAT32)
    assert mc.plan.fallback.failed == {}
    assert view.failures == 3  # 50, 25 and 12 rows


def test_rows_that_stop_one_by_one_are_halved_too() -> None:
    options: dict[str, Any] = {"n_samples": "auto", "tolerance": 0.02, "max_samples": 96}
    found, expected = small(7).predict(X, **options), AMPLE.predict(X, **options)
    torch.testing.assert_close(found.mean, expected.mean, **FLOAT32)
    torch.testing.assert_close(found.samples_taken, expected.samples_taken, **EXACT)


def test_a_tile_that_failed_is_not_tried_again() -> None:
    mc = small(7)
    view = mc.trace(X) and mc.plan.network.view
    assert isinstance(view, Small)
    view.failures = 0
    mc.predict(X)
    assert view.failures == 3  # 50, 25 and 12 rows


def test_progress_counts_what_had_to_be_computed_twice_once() -> None:
    seen: list[tuple[int, int | None]] = []
    small(7).predict(X, progress=lambda done, total: seen.append((done, total)))
    done = [count for count, _ in seen]
    assert done == sorted(done)
    assert seen[-1] == (5000, 5000)


def test_one_row_that_does_not_fit_is_an_error_that_says_so() -> None:
    mc = small(3)
    view = mc.trace(X) and mc.plan.network.view
    assert isinstance(view, Small)
    view.most = 0
    with pytest.raises(
        TooLittleMemoryError,
        match=r"one row x 16 samples, does not fit in the memory of cpu: CUDA out of memory\. Tried to "
        r"allocate 1 rows; free some of it",
    ):
        mc.predict(X)
    view.most = 1000
    torch.testing.assert_close(mc.predict(X).mean, AMPLE.predict(X).mean, **FLOAT32)


def test_blocks_of_exact_mode_keep_their_size() -> None:
    mc = small(1000)
    mc.predict(X, exact=True)
    rows = mc.exact_blocks(X).rows
    view = mc.exact_blocks(X).plan.network.view
    assert isinstance(view, Small)
    view.most = 0
    with pytest.raises(
        TooLittleMemoryError, match=f"a block of exact mode, {rows} rows x 16 samples, does not"
    ):
        mc.predict(X, exact=True)


def test_the_masks_of_some_rows_are_those_that_they_have_among_all() -> None:
    draw = Draw(3, 40, "philox-1", [10, 11, 12, 13])
    some = draw.take([3, 0])
    assert some.keys(1, slice(0, 2)) == [draw.keys(1, slice(3, 4))[0], draw.keys(1, slice(0, 1))[0]]
    shared = Draw(3, 40, "philox-1", None)
    assert shared.take([3, 0]).keys(1, slice(0, 2)) == shared.keys(1, slice(0, 4))


@pytest.mark.parametrize(
    ("samples", "together", "groups"),
    [
        (50, 1, [range(1), range(1, 2), range(2, 4)]),
        (51, 1, [range(1), range(1, 2), range(2, 3), range(3, 4)]),
        (50, 2, [range(2), range(2, 4)]),
        (34, 2, [range(3)]),
        (2, 1, [range(1)]),
        (48, 1, [range(1), range(1, 2), range(2, 3)]),
    ],
)
def test_a_few_samples_at_the_end_run_with_those_before(
    samples: int, together: int, groups: list[range]
) -> None:
    AMPLE.trace(X)
    plan = replace(AMPLE.plan.fast(len(X)), blocks=together)
    assert list(block_groups(plan, samples)) == groups
    alone = [range(block, block + 1) for block in range(math.ceil(samples / 16))]
    assert list(block_groups(replace(plan, blocks=1, exact=True), samples)) == alone


def test_samples_that_run_with_those_before_are_the_same() -> None:
    AMPLE.trace(X[:3])
    plan = replace(AMPLE.plan.fast(3), rows=2, blocks=1)
    got, wanted = (
        sample_call(plan, AMPLE.as_call(X[:3]), Draw(0, samples, "philox-1", None))[0] for samples in (34, 64)
    )
    assert got.shape[0] == 34
    torch.testing.assert_close(got, wanted[:34], **FLOAT32)
