"""Axes hold the data, and their ticks are round."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.charts.axes import doublings, from_zero, shares, spanning

FINITE = st.lists(st.floats(-1e12, 1e12), min_size=1, max_size=8)


@given(FINITE)
def test_an_axis_holds_its_values(values: list[float]) -> None:
    axis = spanning("x", values)
    slack = 1e-8 * max(1.0, abs(axis.low), abs(axis.high))
    assert axis.low <= min(values) + slack
    assert axis.high >= max(values) - slack
    assert axis.low < axis.high
    assert 2 <= len(axis.ticks) <= 9


@given(st.lists(st.floats(0, 1e9), min_size=1, max_size=8))
def test_an_axis_from_zero_begins_there(values: list[float]) -> None:
    axis = from_zero("x", values)
    assert axis.low == 0
    assert axis.high >= max(values) * (1 - 1e-8)


def test_ticks_are_round_numbers() -> None:
    assert [text for _, text in spanning("x", [0.13, 0.94]).ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [text for _, text in spanning("x", [3, 47]).ticks] == ["0", "10", "20", "30", "40", "50"]
    assert [text for _, text in spanning("x", [1e6, 1e6 + 1]).ticks][1] == "1000000.2"
    assert [text for _, text in shares("x").ticks] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]


def test_values_that_are_not_finite_are_left_out() -> None:
    assert spanning("x", [1.0, 2.0, math.inf, math.nan]) == spanning("x", [1.0, 2.0])
    assert spanning("x", []) == spanning("x", [0.0, 1.0])


def test_doublings_are_at_their_logarithm() -> None:
    axis = doublings("samples", [2, 4, 8, 16, 50])
    assert axis.low == 1
    assert axis.high == pytest.approx(math.log2(50))
    assert axis.ticks == ((1.0, "2"), (2.0, "4"), (3.0, "8"), (4.0, "16"), (5.0, "32"))
    assert doublings("samples", [16]).low < 4 < doublings("samples", [16]).high
