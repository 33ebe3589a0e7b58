"""Counters and histograms beside those of Prometheus' own client."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mcdrop_service.telemetry.families import Counters, Histograms
from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.registry import Collector

BOUNDS = (0.001, 0.5, 1, 30)
LABELS = ("model", "version")
VALUES = st.lists(st.sampled_from((*BOUNDS, 0.0, -1.0, 0.75, 31.0, 1e6)), max_size=200)


def samples(collector: Collector) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels; the times at which they began are checked."""
    found = {
        (sample.name, *sample.labels.values()): sample.value
        for family in collector.collect()
        for sample in family.samples
    }
    born = [found.pop(key) for key in tuple(found) if key[0].endswith("_created")]
    assert all(1.5e9 < each < 1e11 for each in born)
    assert len(born) == len({key[1:3] for key in found})
    return found


def own_histogram(values: list[float]) -> dict[tuple[str, ...], float]:
    """Of Prometheus' client."""
    histogram = Histogram("seconds", "of it", LABELS, registry=CollectorRegistry(), buckets=BOUNDS)
    for value in values:
        histogram.labels("a", "1").observe(value)
    return samples(histogram)


@given(st.lists(VALUES))
def test_values_in_lots_are_counted_as_by_the_client(lots: list[list[float]]) -> None:
    histograms = Histograms("seconds", "of it", LABELS, BOUNDS)
    for lot in lots:
        histograms.take(("a", "1"), lot)
    values = [value for lot in lots for value in lot]
    assert samples(histograms) == (pytest.approx(own_histogram(values)) if values else {})


@given(VALUES)
def test_of_arrays_those_are_passed_over_that_are_not_finite(values: list[float]) -> None:
    histograms = Histograms("seconds", "of it", LABELS, BOUNDS)
    histograms.take_finite(("a", "1"), np.array([*values, 0.0, math.nan, math.inf, -math.inf]))
    assert samples(histograms) == pytest.approx(own_histogram([*values, 0.0]))


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 5))))
def test_counts_are_those_of_the_client(added: list[tuple[str, int]]) -> None:
    counters, own = Counters("rows", "of it", LABELS), Counter("rows", "of it", LABELS, registry=None)
    for model, more in added:
        counters.add((model, "1"), more)
        own.labels(model, "1").inc(more)
    assert samples(counters) == samples(own)
