"""Quantiles of mixtures: the smallest values that reach their levels, with the same bits in any company."""

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import special
from torch import Tensor

from mcdrop import inversion
from mcdrop.mixture import mixture_quantiles
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64

LEVELS = (1e-12, 1e-6, 0.001, 0.01, 0.05, 0.3, 0.5, 0.75, 0.9, 0.99, 1 - 1e-6, 1 - 1e-12)


def tail(means: NDArray[np.float64], std: NDArray[np.float64], value: float, *, upper: bool) -> float:
    """What SciPy says of the probability above or below a value."""
    with np.errstate(all="ignore"):
        score = (value - means) / std
    score[np.isnan(score)] = np.inf
    return math.fsum(special.ndtr(-score if upper else score)) / len(means)


def reaches(means: NDArray[np.float64], std: NDArray[np.float64], value: float, level: float) -> bool:
    """Whether a value reaches a level; the level by the lesser side, which keeps its digits."""
    if level <= 0.5:
        return tail(means, std, value, upper=False) >= level * (1 - 1e-11)
    return tail(means, std, value, upper=True) <= (1 - level) * (1 + 1e-11)


def stops_short(means: NDArray[np.float64], std: NDArray[np.float64], value: float, level: float) -> bool:
    if level <= 0.5:
        return tail(means, std, value, upper=False) <= level * (1 + 1e-11)
    return tail(means, std, value, upper=True) >= (1 - level) * (1 - 1e-11)


def bisected(means: Tensor, std: Tensor, level: float) -> Tensor:
    """The plain way: the ends halve 64 times."""
    each = means + std * float(special.ndtri(level))
    low, high = each.amin(0), each.amax(0)
    for _ in range(64):
        middle = (low + high) / 2
        reached = torch.special.ndtr((middle - means) / std).mean(0) >= level
        low, high = torch.where(reached, low, middle), torch.where(reached, middle, high)
    return high


@st.composite
def mixtures(draw: st.DrawFn) -> tuple[Tensor, Tensor]:
    """Means and standard deviations (S, 1): alike, apart, narrow, points, tiny, huge."""
    samples, seed = draw(st.integers(1, 20)), draw(st.integers(0, 2**31))
    means, numbers = normal(samples, 1, seed=seed), uniform(samples, 1, seed=seed + 1)
    kind = draw(st.sampled_from(["alike", "apart", "far", "points", "some", "tiny", "all scales", "equal"]))
    spreads = {
        "alike": torch.full_like(means, 0.7),
        "apart": 10 ** (6 * numbers - 4),
        "far": 1e-3 * (1 + numbers),
        "points": torch.zeros_like(means),
        "some": torch.where(numbers < 0.3, 0.0, numbers),
        "tiny": 1e-310 * numbers,
        "all scales": 10 ** (600 * numbers - 300),
        "equal": torch.full_like(means, 1e-5),
    }
    factor = {"far": 1e6, "tiny": 1e-310, "equal": 0.0}.get(kind, 1.0)
    return means * factor * (spreads[kind] if kind == "all scales" else 1), spreads[kind]


@given(mixtures(), st.floats(1e-3, 1 - 1e-3))
@settings(max_examples=40)
def test_a_quantile_is_the_smallest_value_that_reaches_its_level(
    mixture: tuple[Tensor, Tensor], level: float
) -> None:
    means, std = (part[:, 0].numpy() for part in mixture)
    levels = sorted((*LEVELS, level))
    values = mixture_quantiles(*mixture, levels)[:, 0].tolist()
    for each, value in zip(levels, values, strict=True):
        ulps = 4 * float(np.spacing(abs(value)))
        assert reaches(means, std, value + ulps, each)
        assert stops_short(means, std, value - ulps, each)
    assert all(after - before >= -1e-13 * abs(after) for before, after in pairwise(values))


@pytest.mark.parametrize("std", [0.01, 0.3, 5.0])
def test_quantiles_are_those_of_plain_bisection(std: float) -> None:
    means, spread = normal(33, 40), std * (1 + uniform(33, 40, seed=1))
    levels = [0.002, 0.05, 0.31, 0.5, 0.88, 0.999]
    expected = torch.stack([bisected(means, spread, level) for level in levels])
    torch.testing.assert_close(mixture_quantiles(means, spread, levels), expected, **FLOAT64)


@given(st.integers(1, 30), st.integers(0, 1000), st.floats(1e-9, 1 - 1e-9))
@settings(max_examples=20)
def test_the_quantiles_of_points_are_points(samples: int, seed: int, level: float) -> None:
    points = normal(samples, 2, seed=seed)
    points[: samples // 3] = 0.0
    levels = [level, *(k / samples for k in range(1, samples))]
    ordered = points.sort(0).values
    expected = ordered[[math.ceil(level * samples - 1e-12) - 1, *range(samples - 1)]]
    assert torch.equal(mixture_quantiles(points, 0.0, levels), expected)


def test_where_the_law_is_flat_the_quantile_is_where_that_begins() -> None:
    (value,) = mixture_quantiles([[0.0], [1e6]], 1.0, [0.5])[:, 0].tolist()
    assert 8 < value < 8.5  # from there on the first Gaussian's probability is 1


def test_extreme_levels_keep_their_digits() -> None:
    levels, std = [1e-300, 1e-12, 1 - 1e-12], np.array([1.0] * 6 + [1.5])
    values = mixture_quantiles(torch.full((7, 1), 3.0), std[:, None], levels)[:, 0].tolist()
    for level, value in zip(levels, values, strict=True):
        side = 1 if level < 0.5 else -1
        logs = special.log_ndtr(side * (value - 3.0) / std)
        expected = math.log(min(level, 1 - level))
        assert special.logsumexp(logs) - math.log(7) == pytest.approx(expected, rel=1e-12)


def rows_of_all_kinds(samples: int) -> tuple[Tensor, Tensor]:
    """(S, 12) easy rows, rows far apart, rows with points."""
    means, std = normal(samples, 12), 0.1 + uniform(samples, 12, seed=1)
    means[:, 3] *= 1e6
    std[:, 5], std[::2, 7] = 0.0, 0.0
    std[:, 9] *= 1e-5
    return means, std


@given(
    st.integers(1, 50),
    st.lists(st.integers(0, 11), min_size=1, max_size=14),
    st.lists(st.sampled_from(LEVELS), min_size=1, max_size=5),
)
@settings(max_examples=25)
def test_a_quantile_has_the_same_bits_in_any_company(
    samples: int, rows: Sequence[int], levels: Sequence[float]
) -> None:
    means, std = rows_of_all_kinds(samples)
    among = mixture_quantiles(means[:, rows], std[:, rows], levels)
    for place, row in enumerate(rows):
        index = place % len(levels)
        (alone,) = mixture_quantiles(means[:, [row]], std[:, [row]], [levels[index]])[:, 0]
        assert among[index, place] == alone


def test_bits_do_not_depend_on_what_is_computed_together(monkeypatch: pytest.MonkeyPatch) -> None:
    means, std = rows_of_all_kinds(37)
    whole = mixture_quantiles(means, std, LEVELS)
    for sought, held, summed in ((7, 2**20, 2**16), (2**16, 100, 2**16), (2**16, 2**20, 200)):
        monkeypatch.setattr(inversion, "_SOUGHT", sought)
        monkeypatch.setattr(inversion, "_HELD", held)
        monkeypatch.setattr(inversion, "_SUMMED", summed)
        assert torch.equal(mixture_quantiles(means, std, LEVELS), whole)


def test_a_std_broadcasts() -> None:
    means, std = normal(9, 4, 2), 0.1 + uniform(4, 2, seed=1)
    shared = mixture_quantiles(means, std, LEVELS)
    assert shared.shape == (len(LEVELS), 4, 2)
    torch.testing.assert_close(mixture_quantiles(means, std.expand(9, 4, 2), LEVELS), shared, **FLOAT64)
    torch.testing.assert_close(
        mixture_quantiles(means, std[1, 1], LEVELS)[:, 1, 1], shared[:, 1, 1], **FLOAT64
    )


def test_an_ordinary_quantile_is_looked_for_at_three_values_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    step = inversion._step

    def counted(law: inversion._Law, search: inversion._Search) -> tuple[inversion._Search, Tensor, Tensor]:
        looks.append(len(search.where))
        return step(law, search)

    monkeypatch.setattr(inversion, "_step", counted)
    mixture_quantiles(normal(64, 50), 1.0, [0.05, 0.25, 0.5, 0.75, 0.95])
    assert len(looks) <= 3


def test_steps_that_get_nowhere_are_ended_by_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[int] = []
    step = inversion._step

    def creeping(law: inversion._Law, search: inversion._Search) -> tuple[inversion._Search, Tensor, Tensor]:
        looks.append(len(search.where))
        assert len(looks) <= 8 + 2 * 64
        after, found, done = step(law, search)
        return after._replace(where=after.low.nextafter(after.high)), found, done

    monkeypatch.setattr(inversion, "_step", creeping)
    points = normal(5, 3)
    assert torch.equal(mixture_quantiles(points, 0.0, [0.5])[0], points.median(0).values)


def test_a_std_without_end_leaves_the_quantiles_that_others_reach() -> None:
    values = mixture_quantiles(torch.zeros(3, 1), [[1.0], [1.0], [math.inf]], [0.3, 0.5, 0.9])[:, 0]
    assert values[0].item() == pytest.approx(special.ndtri(0.2))
    assert values[2] == math.inf


def test_no_levels_have_no_quantiles() -> None:
    assert mixture_quantiles(normal(3, 2), 1.0, []).shape == (0, 2)
