"""Figures by matplotlib: axes that hold what was to be drawn, and can be restyled."""

import subprocess
import sys
from io import BytesIO
from typing import Any

import pytest
from matplotlib.figure import Figure

from mcdrop.errors import OptionError
from mcdrop.figures import new_axes
from tests.support.reports import full_classification, full_regression

CLASSES, NUMBERS = full_classification(), full_regression()


def heights(line: Any) -> list[float]:
    return [float(value) for value in line.get_ydata()]


def drawn(axes: Any) -> bytes:
    out = BytesIO()
    axes.figure.savefig(out, format="svg")
    return out.getvalue()


@pytest.mark.parametrize("name", ["calibration", "confidence", "risk", "elsewhere"])
def test_every_chart_of_a_classification_can_be_drawn(name: str) -> None:
    assert b"<svg" in drawn(CLASSES.plot(name))


@pytest.mark.parametrize("name", ["calibration", "pit", "widths", "spreads", "risk", "samples_nll"])
def test_every_chart_of_a_regression_can_be_drawn(name: str) -> None:
    assert b"<svg" in drawn(NUMBERS.plot(name))


def test_the_axes_show_the_points_of_the_report() -> None:
    axes = CLASSES.plot("calibration")
    dots = next(line for line in axes.lines if line.get_marker() == "o")
    assert heights(dots) == pytest.approx([point.observed for point in CLASSES.curve])
    assert axes.get_xlabel() == "stated probability"


def test_it_draws_on_the_axes_that_it_is_given() -> None:
    axes = Figure().add_subplot()
    assert CLASSES.plot("risk", ax=axes) is axes
    axes.set_title("mine")
    assert b"mine" in drawn(axes)


def test_an_unknown_chart_is_an_error() -> None:
    with pytest.raises(OptionError, match="figures of this report are calibration"):
        CLASSES.plot("loss")


def test_no_window_is_opened_and_pyplot_is_not_loaded() -> None:
    code = """
import sys
from mcdrop.figures import new_axes
assert "matplotlib" not in sys.modules
new_axes()
assert "matplotlib.pyplot" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", code], check=True)
    assert new_axes().figure is not None
