"""Intervals of the two parts of a Brier score: around their estimates, and in simulations the truth."""

import numpy as np
import pytest
import torch
from hypothesis import given
from torch import Tensor

from mcdrop.corp_intervals import split_intervals
from mcdrop.errors import DomainError, TooFewRowsError
from mcdrop.metrics.corp import brier_split, class_brier_split
from tests.support.predictions import calibrated, labelled_confidences, normal, permutation
from tests.support.tolerances import monte_carlo

TRIALS = 60


def columns(confidence: Tensor, event: Tensor) -> tuple[Tensor, Tensor]:
    """One class, whose event is label 0."""
    return confidence.double().reshape(-1, 1, 1), 1 - event.double().reshape(-1, 1)


@given(labelled_confidences(least=2))
def test_the_intervals_hold_their_estimates(pairs: tuple[Tensor, Tensor]) -> None:
    split = brier_split(*pairs)
    first, second = split_intervals(*columns(*pairs))
    assert 0 <= first.lower <= max(0.0, split.miscalibration) + 1e-9
    assert split.miscalibration <= first.upper + 1e-9
    assert 0 <= second.lower <= split.refinement + 1e-9
    assert split.refinement <= second.upper + 1e-9


@pytest.mark.parametrize(("power", "rows"), [(1.0, 100), (2.0, 100), (2.0, 800)])
def test_they_hold_the_truth(power: float, rows: int) -> None:
    truth = 1 / 3 - 2 / (power + 2) + 1 / (2 * power + 1), 1 / (power + 1) - 1 / (2 * power + 1)
    hits = []
    for seed in range(TRIALS):
        found = split_intervals(*columns(*calibrated(rows, seed=seed, power=power)))
        hits.append([each.lower <= true <= each.upper for each, true in zip(found, truth, strict=True)])
    assert (np.mean(hits, 0) >= 0.95 - monte_carlo(TRIALS, scale=0.22)).all()


def test_miscalibration_is_seen_and_calibration_begins_at_zero() -> None:
    assert split_intervals(*columns(*calibrated(1000, power=3.0))).miscalibration.lower > 0.03
    assert split_intervals(*columns(*calibrated(1000))).miscalibration.lower == 0


def test_the_parts_of_classes_are_summed() -> None:
    probs, y = (2 * normal(400, 3)).softmax(-1), permutation(400) % 3
    split = class_brier_split(probs, y)
    first, second = split_intervals(probs.unsqueeze(1), y.unsqueeze(1))
    assert first.lower <= split.miscalibration <= first.upper
    assert second.lower <= split.refinement <= second.upper


def test_many_classes_have_few_simulations_each_and_the_same_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    probs, y = normal(150, 60).softmax(-1), permutation(150) % 60
    few = split_intervals(probs.unsqueeze(1), y.unsqueeze(1))
    monkeypatch.setattr("mcdrop.corp_intervals._FITS", 60 * 50)
    many = split_intervals(probs.unsqueeze(1), y.unsqueeze(1))
    width = many.refinement.upper - many.refinement.lower
    assert few.refinement.upper == pytest.approx(many.refinement.upper, abs=width / 10)


def test_the_cases_of_a_row_count_once() -> None:
    stated, labels = columns(*calibrated(100, power=2.0))
    once = split_intervals(stated, labels)
    thrice = split_intervals(stated.expand(-1, 3, -1), labels.expand(-1, 3))
    assert thrice.refinement.lower == pytest.approx(once.refinement.lower)


def test_a_seed_gives_the_same_interval_and_few_rows_are_refused() -> None:
    pairs = columns(*calibrated(60))
    assert split_intervals(*pairs, seed=1) == split_intervals(*pairs, seed=1)
    with pytest.raises(TooFewRowsError, match="needs at least 2 rows, got 1"):
        split_intervals(torch.ones(1, 1, 1).double(), torch.zeros(1, 1))
    with pytest.raises(DomainError, match="level"):
        split_intervals(*pairs, level=1.5)
