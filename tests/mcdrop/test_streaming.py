"""Scores in pieces are the scores of the whole."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from mcdrop.errors import DomainError, ShapeError, TooFewRowsError
from mcdrop.metrics.calibration_error import expected_calibration_error
from mcdrop.streaming import StreamingMean, StreamingReliability
from tests.support.predictions import calibrated, labelled_confidences

ROWS = st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_the_mean_and_variance_are_those_of_all_rows(batches: list[list[float]]) -> None:
    mean = StreamingMean()
    for batch in batches:
        mean = mean.update(batch)
    rows = np.concatenate(batches)
    assert mean.count == len(rows)
    assert mean.compute() == pytest.approx(rows.mean(), rel=1e-9, abs=1e-6)
    assert mean.square == pytest.approx(((rows - rows.mean()) ** 2).sum(), rel=1e-9, abs=1e-3)


@given(ROWS, ROWS)
def test_merging_is_updating_with_the_other_rows(one: list[float], two: list[float]) -> None:
    merged = StreamingMean().update(one).merge(StreamingMean().update(two))
    assert merged.compute() == pytest.approx(np.mean(one + two), rel=1e-9, abs=1e-6)


def test_a_large_offset_costs_no_digits() -> None:
    rows = 1e9 + np.arange(100.0)
    assert StreamingMean().update(rows[:50]).update(rows[50:]).square == pytest.approx(100 * 833.25)


def test_merging_with_nothing_changes_nothing() -> None:
    mean = StreamingMean().update([1.0, 2.0])
    assert mean.merge(StreamingMean()) == mean
    assert StreamingMean().merge(StreamingMean()) == StreamingMean()


def test_the_interval_is_the_normal_one() -> None:
    interval = StreamingMean().update([1.0, 3.0]).interval()
    assert (interval.lower, interval.upper) == pytest.approx((2 - 1.96, 2 + 1.96), abs=1e-3)


@given(labelled_confidences(), labelled_confidences())
def test_bins_in_pieces_are_the_bins_of_all(one: tuple[Tensor, Tensor], two: tuple[Tensor, Tensor]) -> None:
    streamed = StreamingReliability.empty().update(*one).update(*two).compute()
    merged = StreamingReliability.empty().update(*one).merge(StreamingReliability.empty().update(*two))
    assert streamed.expected_error().item() == pytest.approx(merged.compute().expected_error().item())
    assert streamed.count.sum() == len(one[0]) + len(two[0])


def test_the_error_is_that_of_all_pairs() -> None:
    p, y = calibrated(100)
    streamed = StreamingReliability.empty(bins=10).update(p[:30], y[:30]).update(p[30:], y[30:])
    expected = expected_calibration_error(p, y, bins=10).item()
    assert streamed.compute().expected_error().item() == pytest.approx(expected)


def test_nothing_has_no_mean() -> None:
    with pytest.raises(TooFewRowsError, match="a mean needs at least 1 row, got 0"):
        StreamingMean().compute()
    with pytest.raises(TooFewRowsError, match="needs at least 2 rows, got 1"):
        StreamingMean().update([1.0]).interval()
    with pytest.raises(TooFewRowsError, match="a calibration error needs at least 1 row, got 0"):
        StreamingReliability.empty().compute()


def test_bad_input_is_refused() -> None:
    with pytest.raises(DomainError, match="values must be finite"):
        StreamingMean().update([float("inf")])
    with pytest.raises(ShapeError, match="bins can be merged only with as many"):
        StreamingReliability.empty(bins=2).merge(StreamingReliability.empty(bins=3))
