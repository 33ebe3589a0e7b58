"""Which charts a report has."""

from typing import TYPE_CHECKING

from mcdrop.charts.calibration import calibration_charts
from mcdrop.charts.decisions import elsewhere_chart, risk_chart, samples_charts
from mcdrop.charts.marks import Chart
from mcdrop.errors import OptionError

if TYPE_CHECKING:
    from mcdrop.scorecard import Report

__all__ = ["chart_named", "charts_of"]


def charts_of(report: "Report") -> tuple[Chart, ...]:
    """Every chart, in the order of the page."""
    return (
        *calibration_charts(report),
        *risk_chart(report),
        *samples_charts(report),
        *elsewhere_chart(report),
    )


def chart_named(report: "Report", name: str, *, output: int | None = None) -> Chart:
    """The chart of that name.

    Raises:
        OptionError: If the report has none; says which it has.
    """
    charts = charts_of(report)
    for chart in charts:
        if chart.name == name and chart.output in {output, None}:
            return chart
    known = ", ".join(dict.fromkeys(chart.name for chart in charts)) or "none"
    which = "" if output is None else f" of output {output}"
    raise OptionError(f"the figures of this report are {known}, got {name!r}{which}")
