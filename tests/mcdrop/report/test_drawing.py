"""Charts as lengths on a page."""

import pytest

from mcdrop.charts.axes import shares, spanning
from mcdrop.charts.listing import charts_of
from mcdrop.charts.marks import Area, Bars, Chart, Dots, Line, Whiskers
from mcdrop.report.drawing import HEIGHT, WIDTH, drawn
from tests.support.reports import full_classification, full_regression


def chart(*marks: Line | Dots | Area | Bars | Whiskers) -> Chart:
    return Chart("c", "title", "caption", shares("x"), shares("y"), marks)


def test_the_corners_of_the_axes_are_the_corners_of_the_plot() -> None:
    drawing = drawn(chart(Dots(((0.0, 0.0), (1.0, 1.0)))))
    first, last = drawing.shapes
    assert (first.x, first.y) == (drawing.left, drawing.bottom)
    assert (last.x, last.y) == (drawing.right, drawing.top)
    assert 0 < drawing.left < drawing.right < WIDTH
    assert 0 < drawing.top < drawing.bottom < HEIGHT


def test_what_lies_outside_ends_at_the_edge() -> None:
    drawing = drawn(chart(Dots(((-3.0, 7.0),))))
    assert (drawing.shapes[0].x, drawing.shapes[0].y) == (drawing.left, drawing.top)


def test_bars_stand_on_zero() -> None:
    drawing = drawn(chart(Bars(((0.0, 0.5, 0.5),))))
    (bar,) = drawing.shapes
    assert bar.y + bar.height == pytest.approx(drawing.bottom)
    assert bar.height == pytest.approx((drawing.bottom - drawing.top) / 2)


def test_an_area_goes_there_and_back() -> None:
    (area,) = drawn(chart(Area(((0.0, 0.0, 1.0), (1.0, 0.0, 1.0))))).shapes
    assert area.path.endswith("Z")
    assert area.path.count("L") == 3


def test_marks_without_points_draw_nothing() -> None:
    assert drawn(chart(Line(()), Area(()), Dots(()), Bars(()), Whiskers(()))).shapes == ()


def test_a_whisker_is_a_vertical_line() -> None:
    (shape,) = drawn(chart(Whiskers(((0.5, 0.2, 0.8),)))).shapes
    start, end = shape.path.removeprefix("M").split("L")
    assert start.split()[0] == end.split()[0]


def test_long_numbers_have_room_at_the_left() -> None:
    wide = Chart("c", "t", "", shares("x"), spanning("y", [1_000_000.25, 1_000_000.5]), ())
    assert drawn(wide).left > drawn(chart()).left


def test_every_chart_of_a_report_can_be_drawn() -> None:
    for report in (full_classification(), full_regression()):
        for each in charts_of(report):
            assert drawn(each).shapes
