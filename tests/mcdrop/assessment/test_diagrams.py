"""Curves, bands and histograms as data."""

import pytest
import torch
from scipy import stats

from mcdrop.assessment.diagrams import (
    confidence_histogram,
    pit_histograms,
    quantile_curve,
    reliability_curve,
    spread_points,
    thinned,
    width_points,
)
from mcdrop.mixture import mixture_quantiles
from mcdrop.rowscores import GaussianMixture, pit_of
from mcdrop.scoring import ScoreOptions
from tests.support.predictions import calibrated, normal, uniform
from tests.support.tolerances import monte_carlo

OPTIONS = ScoreOptions(bins=10)


def test_the_points_of_a_reliability_curve_hold_all_pairs() -> None:
    curve = reliability_curve(*calibrated(500), OPTIONS)
    assert sum(point.count for point in curve) == 500
    assert all(point.lower is not None and point.upper is not None for point in curve)
    assert all(abs(point.stated - (i + 0.5) / 10) < 0.05 for i, point in enumerate(curve))


def test_the_band_holds_what_calibrated_data_show() -> None:
    inside = [
        point.lower <= point.observed <= point.upper
        for seed in range(40)
        for point in reliability_curve(*calibrated(400, seed=seed), OPTIONS)
        if point.lower is not None and point.upper is not None
    ]
    share = sum(inside) / len(inside)
    assert share >= 0.95 - monte_carlo(len(inside), scale=0.22)


def test_the_band_of_one_confidence_is_the_binomials() -> None:
    confidence = torch.full((200,), 0.3, dtype=torch.float64)
    (point,) = reliability_curve(confidence, (uniform(200) < 0.3).double(), OPTIONS)
    low, high = stats.binom.ppf([0.025, 0.975], 200, 0.3) / 200
    assert point.lower == pytest.approx(low, abs=0.011)  # two of 200 steps: the band is simulated
    assert point.upper == pytest.approx(high, abs=0.011)


def test_the_band_of_many_pairs_is_their_normal_limit() -> None:
    confidence = torch.full((60_000,), 0.3, dtype=torch.float64)
    (point,) = reliability_curve(confidence, (uniform(60_000) < 0.3).double(), OPTIONS)
    assert point.upper is not None
    assert point.upper - 0.3 == pytest.approx(1.96 * (0.21 / 60_000) ** 0.5, rel=0.15)


def test_confidences_far_from_calibrated_leave_the_band() -> None:
    curve = reliability_curve(*calibrated(2000, power=3.0), OPTIONS)
    assert sum(point.upper is not None and point.observed < (point.lower or 0) for point in curve) >= 5


def test_histograms_count_every_value() -> None:
    assert sum(confidence_histogram(uniform(300)).counts) == 300
    pit = uniform(90, 2)
    first, second = pit_histograms(pit, OPTIONS)
    assert (sum(first.counts), sum(second.counts)) == (90, 90)
    assert (first.output, second.output) == (0, 1)
    (joint,) = pit_histograms(pit, ScoreOptions(joint=True))
    assert sum(joint.counts) == 180


def test_the_band_of_a_quantile_curve_is_the_binomials() -> None:
    curve = quantile_curve(uniform(120, 1), OPTIONS)
    for point in curve:
        low, high = stats.binom.ppf([0.025, 0.975], 120, point.stated) / 120
        assert point.lower == pytest.approx(low, abs=0.01)
        assert point.upper == pytest.approx(high, abs=0.01)


def test_coverage_at_every_level_is_that_of_the_intervals() -> None:
    law, y = GaussianMixture(normal(20, 60, 1), 0.7), normal(60, 1, seed=1)

    def interval(level: float) -> tuple[torch.Tensor, torch.Tensor]:
        lower, upper = mixture_quantiles(law.samples, 0.7, ((1 - level) / 2, (1 + level) / 2))
        return lower, upper

    for point in width_points(pit_of(law, y), interval, OPTIONS):
        lower, upper = interval(point.level)
        assert point.coverage == pytest.approx(((lower <= y) & (y <= upper)).double().mean().item())
        assert point.width == pytest.approx((upper - lower).mean().item())


def test_spreads_hold_all_rows_and_their_errors() -> None:
    std, error = 0.5 + uniform(100, 1), normal(100, 1)
    points = spread_points(std, error, OPTIONS)
    assert len(points) == 10
    total = sum(point.count * point.rmse**2 for point in points)
    assert total == pytest.approx(error.square().sum().item())
    assert [point.std for point in points] == sorted(point.std for point in points)


@pytest.mark.parametrize(("rows", "kept"), [(1, 1), (999, 999), (2000, 1000), (10_500, 1050)])
def test_widths_are_computed_of_about_a_thousand_rows(rows: int, kept: int) -> None:
    assert len(range(rows)[thinned(rows)]) == kept
