"""Rows from another distribution."""

import pytest
import torch

from mcdrop.assessment.elsewhere import auroc_interval, elsewhere_histograms
from mcdrop.errors import OptionError
from mcdrop.evaluation import evaluate
from mcdrop.metrics.ranking import fpr_at_95, ood_auroc
from mcdrop.uncertainty import entropy
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation
from tests.support.tolerances import monte_carlo

SHARP, FLAT = (4 * normal(120, 4)).softmax(-1), (0.5 * normal(60, 4, seed=1)).softmax(-1)
LABELS = permutation(120) % 4


def test_each_measure_is_compared_with_the_largest_probability_of_one_pass() -> None:
    report = evaluate(
        FakeClassPrediction(SHARP, deterministic=SHARP),
        LABELS,
        elsewhere=FakeClassPrediction(FLAT, deterministic=FLAT),
    )
    total, baseline = report.elsewhere
    assert (total.measure, baseline.measure) == ("total", "max_probability")
    inside, outside = entropy(SHARP), entropy(FLAT)
    assert total.auroc == pytest.approx(ood_auroc(inside, outside).item())
    assert total.fpr95 == pytest.approx(fpr_at_95(inside, outside).item())
    assert baseline.auroc == pytest.approx(ood_auroc(-SHARP.amax(-1), -FLAT.amax(-1)).item())
    assert sum(report.elsewhere_histograms[0].counts) == 120
    assert sum(report.elsewhere_histograms[1].counts) == 60


def test_a_regression_is_told_apart_by_its_spread() -> None:
    samples, wide = normal(40, 50, 1), 3 * normal(40, 30, 1, seed=1)
    report = evaluate(FakeRegression(samples), normal(50, seed=1), elsewhere=FakeRegression(wide))
    assert [score.measure for score in report.elsewhere] == ["total", "epistemic"]
    assert report.elsewhere[1].auroc == 1


def test_another_task_is_refused() -> None:
    with pytest.raises(
        OptionError, match="rows from elsewhere must be predicted as classification, got 'regression'"
    ):
        evaluate(FakeClassPrediction(SHARP), LABELS, elsewhere=FakeRegression(normal(4, 4, 1)))


@pytest.mark.parametrize("auroc", [0.0, 0.3, 0.5, 0.9, 1.0])
def test_the_interval_holds_its_estimate_and_stays_within_0_and_1(auroc: float) -> None:
    interval = auroc_interval(auroc, 40, 60, level=0.95)
    assert 0 <= interval.lower <= auroc <= interval.upper <= 1
    assert interval.upper > interval.lower


def test_the_interval_covers() -> None:
    trials, covered = 400, 0
    for seed in range(trials):
        value = ood_auroc(normal(60, seed=seed), 1 + normal(40, seed=seed + 10_000)).item()
        interval = auroc_interval(value, 40, 60, level=0.95)
        covered += interval.lower <= 0.7602499 <= interval.upper  # ndtr(1 / sqrt(2))
    assert covered / trials >= 0.95 - monte_carlo(trials, scale=0.22)


def test_equal_values_have_a_histogram_all_the_same() -> None:
    inside, outside = elsewhere_histograms(torch.ones(5), torch.ones(7))
    assert (sum(inside.counts), sum(outside.counts)) == (5, 7)
    assert (inside.low, inside.high) == (outside.low, outside.high)
