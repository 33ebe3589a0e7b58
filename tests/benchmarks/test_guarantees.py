"""Every promise of the benchmark holds in a few trials; the benchmark itself makes a thousand."""

import pytest

from benchmarks import guarantees

TRIALS = 30


@pytest.mark.parametrize("case", guarantees.cases(), ids=lambda case: case.name)
def test_the_promise_is_kept(case: guarantees.Case) -> None:
    kept, margin = guarantees.simulate(case, TRIALS)
    assert kept >= case.promised - margin


def test_a_broken_promise_is_seen() -> None:
    broken = guarantees.Case("one in three", 0.9, lambda seed: seed % 3 == 0)
    kept, margin = guarantees.simulate(broken, TRIALS)
    assert kept < broken.promised - margin
    assert guarantees._line(broken, TRIALS).endswith("BROKEN")
