"""CORP's split of the Brier score: its identities, and cases by hand."""

import pytest
import torch
from hypothesis import given
from torch import Tensor

from mcdrop.metrics.classification import brier_score
from mcdrop.metrics.corp import brier_split, class_brier_split
from tests.support.predictions import calibrated, labelled_confidences, normal, permutation


@given(labelled_confidences())
def test_the_parts_add_up_and_none_is_negative(pairs: tuple[Tensor, Tensor]) -> None:
    split = brier_split(*pairs)
    total = split.miscalibration - split.discrimination + split.uncertainty
    assert total == pytest.approx(split.brier, abs=1e-12)
    assert split.refinement == pytest.approx(split.uncertainty - split.discrimination, abs=1e-12)
    assert min(split.miscalibration, split.discrimination, split.uncertainty) >= -1e-12


@given(labelled_confidences())
def test_a_monotone_map_of_the_confidences_changes_only_the_miscalibration(
    pairs: tuple[Tensor, Tensor],
) -> None:
    confidence, event = pairs
    plain, moved = brier_split(confidence, event), brier_split(0.1 + 0.5 * confidence, event)
    assert moved.discrimination == pytest.approx(plain.discrimination, abs=1e-9)
    assert moved.uncertainty == plain.uncertainty


def test_by_hand() -> None:
    split = brier_split([0.2, 0.2, 0.8, 0.8], [0, 0, 1, 1])
    assert split == pytest.approx((0.04, 0.04, 0.25, 0.25))


def test_calibrated_confidences_have_little_miscalibration_and_others_more() -> None:
    assert brier_split(*calibrated(4000)).miscalibration < 0.01
    assert brier_split(*calibrated(4000, power=3.0)).miscalibration > 0.04


def test_constant_confidences_discriminate_nothing() -> None:
    split = brier_split([0.5, 0.5], [0, 1])
    assert split == pytest.approx((0.25, 0, 0, 0.25))


def test_over_classes_the_parts_are_summed() -> None:
    probs, y = normal(60, 3).softmax(-1), permutation(60) % 3
    split = class_brier_split(probs, y)
    assert split.brier == pytest.approx(brier_score(probs, y).mean().item())
    parts = torch.tensor([brier_split(probs[:, c], y == c) for c in range(3)], dtype=torch.float64).sum(0)
    assert split == pytest.approx(tuple(parts.tolist()))
