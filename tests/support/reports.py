"""Reports with everything in them, to show and to write."""

from functools import cache

from mcdrop.evaluation import evaluate
from mcdrop.scorecard import Report
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation

__all__ = ["HOSTILE", "full_classification", "full_regression"]

HOSTILE = '<script>document.title = "taken"</script><img src=https://example.com/x.png>'
"""A name that is markup in HTML; names are data."""


@cache
def full_classification(*, hostile: bool = False) -> Report:
    """Of 150 rows in three classes, with groups, rows from elsewhere and scores before calibration."""
    probs, y = (2 * normal(150, 3)).softmax(-1), permutation(150) % 3
    name = HOSTILE if hostile else "ant"
    return evaluate(
        FakeClassPrediction(probs, deterministic=probs.flip(0)),
        y,
        before=FakeClassPrediction(probs.flip(0)),
        groups=["a group with a long name", name, "c"] * 50,
        group_by=name,
        elsewhere=FakeClassPrediction(probs[:40] * 0 + 1 / 3, deterministic=probs[:40]),
        classes=[name, "bee", "cat" * 30],
        facts={
            "model": name,
            "digest of the data": "sha256:" + "0123456789abcdef" * 4,
            "command": f"mcdrop report '{name}'",
        },
    )


@cache
def full_regression() -> Report:
    """Of 90 rows, far from zero, with noise and a deterministic pass."""
    samples = 1e6 + normal(64, 90, 1)
    return evaluate(
        FakeRegression(samples, tau=1.0, deterministic=samples[0]),
        1e6 + normal(90, seed=1),
        facts={"model": "numbers"},
    )
