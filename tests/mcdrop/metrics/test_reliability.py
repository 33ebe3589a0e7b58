"""Reliability bins: edges by hand, ties together, sums that can be added."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.errors import ShapeError
from mcdrop.metrics.reliability import bin_index, reliability
from tests.support.predictions import labelled_confidences


def test_bins_are_closed_on_the_right_and_the_first_on_both_sides() -> None:
    values = torch.tensor([0.0, 0.2, 0.2000001, 0.4, 0.6, 0.8, 1.0], dtype=torch.float64)
    assert bin_index(values, bins=5, binning="equal_width").tolist() == [0, 0, 1, 1, 2, 3, 4]


@pytest.mark.parametrize("bins", [3, 10, 15, 100])
def test_every_edge_belongs_to_the_bin_below_it(bins: int) -> None:
    edges = torch.arange(1, bins + 1, dtype=torch.float64) / bins
    assert bin_index(edges, bins=bins, binning="equal_width").tolist() == list(range(bins))


@given(labelled_confidences(), st.integers(1, 20))
def test_bins_of_equal_mass_keep_ties_together_and_follow_the_order(
    pairs: tuple[Tensor, Tensor], bins: int
) -> None:
    confidence = pairs[0]
    index = bin_index(confidence, bins=bins, binning="equal_mass")
    for value in confidence.unique():
        assert len(index[confidence == value].unique()) == 1
    assert bool((index[confidence.argsort()].diff() >= 0).all())


@given(st.integers(1, 60), st.integers(1, 20))
def test_without_ties_bins_of_equal_mass_differ_by_at_most_one_row(rows: int, bins: int) -> None:
    index = bin_index(torch.arange(rows).double() / rows, bins=bins, binning="equal_mass")
    counts = index.bincount(minlength=bins)
    assert counts.max() - counts.min() <= 1


def test_empty_bins_have_no_confidence_and_no_gap() -> None:
    bins = reliability([0.1], [1], bins=2)
    assert bins.gap.tolist() == [pytest.approx(0.9), 0.0]
    assert bins.confidence.isnan().tolist() == [False, True]
    assert bins.frequency.isnan().tolist() == [False, True]


def test_only_equally_many_bins_can_be_merged() -> None:
    with pytest.raises(ShapeError, match="bins can be merged only with as many: 2 here, got 3"):
        reliability([0.5], [1], bins=2).merge(reliability([0.5], [1], bins=3))
