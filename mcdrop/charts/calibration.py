"""Charts of calibration: reliability and confidence, or quantiles, PIT, widths and spreads."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, TypeVar

from mcdrop.assessment.sections import CurvePoint, Histogram, SpreadPoint, WidthPoint
from mcdrop.charts.axes import from_zero, shares
from mcdrop.charts.marks import Area, Bars, Chart, Dots, Line

if TYPE_CHECKING:
    from mcdrop.scorecard import Report

__all__ = ["calibration_charts"]

_Point = TypeVar("_Point", CurvePoint, Histogram, SpreadPoint, WidthPoint)
_DIAGONAL = Line(((0.0, 0.0), (1.0, 1.0)), "ideal", "as stated")


def calibration_charts(report: "Report") -> Iterator[Chart]:
    """Every chart of calibration that the report has, output by output."""
    for output in _outputs(report.curve):
        points = _of(report.curve, output)
        yield _curve(report, points, output)
        for histogram in _of(report.histograms, output):
            yield _histogram(histogram, output)
        for chart in (_widths(_of(report.widths, output)), _spreads(_of(report.spreads, output))):
            if chart is not None:
                yield chart


def _outputs(points: tuple[CurvePoint, ...]) -> list[int | None]:
    return list(dict.fromkeys(point.output for point in points))


def _of(points: tuple[_Point, ...], output: int | None) -> tuple[_Point, ...]:
    return tuple(point for point in points if point.output == output)


def _title(title: str, output: int | None) -> str:
    return title if output is None else f"{title} of output {output}"


def _curve(report: "Report", points: tuple[CurvePoint, ...], output: int | None) -> Chart:
    of_events = _is_of_events(report)
    band = tuple(
        (point.stated, point.lower, point.upper)
        for point in points
        if point.lower is not None and point.upper is not None
    )
    seen = tuple((point.stated, point.observed) for point in points)
    counts = tuple(
        f"stated {point.stated:.3g}, observed {point.observed:.3g}, {point.count} rows" for point in points
    )
    return Chart(
        "calibration",
        _title("Reliability" if of_events else "Quantile calibration", output),
        "Points on the diagonal are as stated. Below it the prediction is "
        "over-confident, above it under-confident; inside the band chance alone explains the distance."
        if of_events
        else "Each point: the share of outcomes at or below a stated quantile. On the diagonal it is as "
        "stated; inside the band chance alone explains the distance.",
        shares("stated probability" if of_events else "stated level"),
        shares("observed share"),
        (
            Area(band, "band", f"{report.level:.0%} of calibrated data"),
            _DIAGONAL,
            Line(seen, "main"),
            Dots(seen, "main", "observed", counts),
        ),
        output,
    )


def _is_of_events(report: "Report") -> bool:
    return any(histogram.name == "confidence" for histogram in report.histograms)


def _histogram(histogram: Histogram, output: int | None) -> Chart:
    total = max(1, sum(histogram.counts))
    width = (histogram.high - histogram.low) / len(histogram.counts)
    bars = tuple(
        (histogram.low + i * width, histogram.low + (i + 1) * width, count / total)
        for i, count in enumerate(histogram.counts)
    )
    heights = [height for _, _, height in bars]
    if histogram.name == "pit":
        level = 1 / len(bars)
        flat = Line(((0.0, level), (1.0, level)), "ideal", "if calibrated")
        return Chart(
            "pit",
            _title("Where outcomes fall in the prediction", output),
            "The probability integral transform. Flat is right; a U says over-confident, a hump "
            "under-confident, a slope a bias.",
            shares("PIT"),
            from_zero("share of rows", [*heights, level * 1.5]),
            (Bars(bars, "main"), flat),
            output,
        )
    return Chart(
        "confidence",
        _title("How often which probability was stated", output),
        f"Of {total} rows. A point of the reliability diagram is worth as much as the rows behind it.",
        shares("stated probability"),
        from_zero("share of rows", heights),
        (Bars(bars, "main"),),
        output,
    )


def _widths(points: tuple[WidthPoint, ...]) -> Chart | None:
    if not points:
        return None
    places = tuple((point.width, point.coverage) for point in points)
    titles = tuple(
        f"{point.level:.0%} intervals: width {point.width:.4g}, coverage {point.coverage:.1%}"
        for point in points
    )
    wanted = tuple((point.width, point.level) for point in points)
    return Chart(
        "widths",
        _title("Coverage against width", points[0].output),
        "Central intervals from 10 % to 95 %: how wide they are, and how many outcomes they hold. On the "
        "dotted line they hold what they promise.",
        from_zero("mean width", [point.width for point in points]),
        shares("share of outcomes"),
        (Line(wanted, "ideal", "promised"), Line(places, "main"), Dots(places, "main", "held", titles)),
        points[0].output,
    )


def _spreads(points: tuple[SpreadPoint, ...]) -> Chart | None:
    if not points:
        return None
    places = tuple((point.std, point.rmse) for point in points)
    titles = tuple(f"std {point.std:.4g}, error {point.rmse:.4g}, {point.count} rows" for point in points)
    x = from_zero("predicted standard deviation", [point.std for point in points])
    y = from_zero("root mean squared error", [point.rmse for point in points])
    end = min(x.high, y.high)
    return Chart(
        "spreads",
        _title("Error against standard deviation", points[0].output),
        "Rows in order of their predicted standard deviation, in bins of equal size. On the dotted line the "
        "error is as large as predicted; a cloud without slope says that the spread tells nothing.",
        x,
        y,
        (Line(((0.0, 0.0), (end, end)), "ideal", "as predicted"), Dots(places, "main", "observed", titles)),
        points[0].output,
    )
