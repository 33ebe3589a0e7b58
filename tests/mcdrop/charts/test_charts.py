"""The charts of a report: which there are, and what they show."""

from dataclasses import replace

import pytest

from mcdrop.charts.listing import chart_named, charts_of
from mcdrop.charts.marks import Area, Bars, Dots, Line
from mcdrop.errors import OptionError
from mcdrop.evaluation import evaluate
from tests.support.predictions import FakeRegression, normal
from tests.support.reports import full_classification, full_regression

CLASSES, NUMBERS = full_classification(), full_regression()


def test_a_classification_has_these_charts() -> None:
    assert [chart.name for chart in charts_of(CLASSES)] == ["calibration", "confidence", "risk", "elsewhere"]


def test_a_regression_with_samples_has_these_charts() -> None:
    names = [chart.name for chart in charts_of(NUMBERS)]
    assert names == ["calibration", "pit", "widths", "spreads", "risk", "samples_nll", "samples_rmse"]


def test_every_output_has_its_own() -> None:
    report = evaluate(FakeRegression(normal(32, 40, 2), tau=1.0), normal(40, 2, seed=1))
    assert chart_named(report, "pit", output=1).title.endswith("of output 1")
    assert chart_named(report, "calibration", output=0).output == 0


def test_the_dots_of_the_calibration_are_its_points() -> None:
    chart = chart_named(CLASSES, "calibration")
    (dots,) = [mark for mark in chart.marks if isinstance(mark, Dots)]
    assert dots.points == tuple((point.stated, point.observed) for point in CLASSES.curve)
    assert str(CLASSES.curve[0].count) in dots.titles[0]


def test_bars_are_shares_that_sum_to_one() -> None:
    for chart in (*charts_of(CLASSES), *charts_of(NUMBERS)):
        for mark in chart.marks:
            if isinstance(mark, Bars):
                assert sum(height for _, _, height in mark.bars) == pytest.approx(1)


def test_every_mark_lies_within_the_axes_but_for_the_errors_of_very_few_samples() -> None:
    for chart in (*charts_of(CLASSES), *charts_of(NUMBERS)):
        for mark in chart.marks:
            if isinstance(mark, Line | Dots) and not chart.name.startswith("samples"):
                for x, y in mark.points:
                    assert chart.x.low <= x <= chart.x.high, chart.name
                    assert chart.y.low <= y <= chart.y.high, chart.name


def test_without_a_band_there_is_no_area() -> None:
    bare = replace(CLASSES, curve=tuple(replace(point, lower=None, upper=None) for point in CLASSES.curve))
    chart = chart_named(bare, "calibration")
    assert all(not mark.points for mark in chart.marks if isinstance(mark, Area))


def test_a_chart_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    with pytest.raises(OptionError, match="are calibration, confidence, risk, elsewhere, got 'pit'"):
        chart_named(CLASSES, "pit")
    two = evaluate(FakeRegression(normal(32, 40, 2), tau=1.0), normal(40, 2, seed=1))
    with pytest.raises(OptionError, match="got 'calibration' of output 3"):
        chart_named(two, "calibration", output=3)
