"""Scores against the number of samples: from one run, by its beginnings."""

import math

import pytest
import torch
from torch import Tensor

from mcdrop.assessment.samples import enough_samples, fitting_rows, samples_points
from mcdrop.assessment.sections import SamplesPoint
from tests.support.predictions import normal


def mean(samples: Tensor) -> float:
    return samples.mean().item()


def test_each_value_is_that_of_the_first_samples() -> None:
    samples = normal(50, 3)
    points = samples_points(samples, {"mean": mean})
    assert [point.n_samples for point in points] == [2, 4, 8, 16, 32, 50]
    for point in points:
        assert point.value == samples[: point.n_samples].mean().item()
    assert points[-1].distance == 0


def test_the_standard_error_falls_with_the_root_of_the_samples() -> None:
    points = samples_points(normal(16 * 256, 1), {"mean": mean})
    for point in points:
        assert point.standard_error is not None
        expected = 1 / math.sqrt(point.n_samples)
        runs = max(4, min(256, 16 * 256 // point.n_samples))
        assert point.standard_error == pytest.approx(expected, rel=5 / math.sqrt(2 * (runs - 1)))


def test_the_error_of_longer_runs_is_scaled_from_the_longest_known() -> None:
    points = {point.n_samples: point for point in samples_points(normal(128, 2), {"mean": mean})}
    known, whole = points[32].standard_error, points[128].standard_error
    assert known is not None
    assert whole == pytest.approx(known / 2)


def test_a_run_too_short_for_an_error_has_none() -> None:
    assert all(point.standard_error is None for point in samples_points(normal(6, 2), {"mean": mean}))


def test_an_infinite_score_has_no_error() -> None:
    points = samples_points(normal(64, 1), {"bad": lambda _samples: math.inf})
    assert all(point.distance is None and point.standard_error is None for point in points)


def test_enough_is_where_the_error_is_a_tenth_of_what_the_rows_leave_open() -> None:
    points = tuple(
        SamplesPoint("nll", n, 1.0, error, distance)
        for n, error, distance in ((2, 0.3, 0.2), (4, 0.05, 0.2), (8, 0.05, 0.09), (16, 0.02, 0.0))
    )
    assert enough_samples(points, 1.0) == 8
    assert enough_samples(points, 0.3) == 16
    assert enough_samples(points, 0.1) is None


def test_of_very_many_numbers_some_rows_are_taken() -> None:
    small, large = torch.empty(10, 100), torch.empty(100, 1_000_000)
    assert len(range(100)[fitting_rows(small)]) == 100
    assert len(range(1_000_000)[fitting_rows(large)]) == 200_000
