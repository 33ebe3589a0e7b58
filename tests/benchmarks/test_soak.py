"""The soak in a short form, and how it judges what it saw: the long one is `make soak`."""

import subprocess
import sys

import pytest

from benchmarks.soak import LOOKS, steady
from tests.support.repository import ROOT

REQUESTS = 100_000
AT = [REQUESTS * (look + 1) // LOOKS for look in range(LOOKS)]
BREATH = [0.0, 1.5, -1.0, 2.0, 0.5, -1.5, 1.0, -0.5, 2.0, -1.0, 1.5, 0.0]
FILES = [14] * LOOKS


def seen(leak_kb: float, *, cache_mb: float = 0.0, full_at: int = 1) -> list[float]:
    """Megabytes at each look, of a cache that fills evenly and a leak with each request."""
    return [
        500 + breath + cache_mb * min(at / full_at, 1) + leak_kb * at / 1000
        for at, breath in zip(AT, BREATH, strict=True)
    ]


def test_memory_and_open_files_do_not_grow_with_the_requests() -> None:
    command = [sys.executable, "benchmarks/soak.py", "--requests", "660", "--filling", "0"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "steady: memory" in done.stdout


@pytest.mark.parametrize("full_at", [1, 10_000, 60_000])
def test_a_cache_that_fills_before_the_last_third_is_no_leak(full_at: int) -> None:
    assert steady(seen(0, cache_mb=200, full_at=full_at), FILES)


@pytest.mark.parametrize("full_at", [1, 60_000])
@pytest.mark.parametrize("leak_kb", [1, 3, 30])
def test_a_leak_of_a_kilobyte_is_found_beside_a_cache(leak_kb: float, full_at: int) -> None:
    assert not steady(seen(leak_kb, cache_mb=200, full_at=full_at), FILES)


def test_a_cache_that_never_ends_to_fill_is_a_leak() -> None:
    assert not steady(seen(0, cache_mb=200, full_at=REQUESTS), FILES)


def test_files_that_stay_open_are_found() -> None:
    assert not steady(seen(0), [14 + look for look in range(LOOKS)])
    assert steady(seen(0), [14, 22, 15, 14, 16, 22, 14, 15, 22, 14, 15, 16])
