"""Charts for decisions: which rows to answer, how many samples to take, which rows are not of the kind."""

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from mcdrop.assessment.sections import Histogram, SamplesPoint
from mcdrop.charts.axes import doublings, from_zero, shares, spanning
from mcdrop.charts.marks import Area, Bars, Chart, Dots, Line

if TYPE_CHECKING:
    from mcdrop.scorecard import Report

__all__ = ["elsewhere_chart", "risk_chart", "samples_charts"]

_NAMES = {"nll": "NLL (nats)", "rmse": "RMSE"}


def risk_chart(report: "Report") -> Iterator[Chart]:
    """Risk against coverage, beside that of the deterministic pass."""
    if len(report.risk) < 2:
        return
    events = report.task not in {"regression", "heteroscedastic"}
    main = tuple((point.coverage, point.risk) for point in report.risk)
    other = tuple((point.coverage, point.risk) for point in report.risk_deterministic)
    chance = main[-1][1]
    lines = [Line(((0.0, chance), (1.0, chance)), "ideal", "useless order")]
    lines += [Line(other, "other", "deterministic")] if other else []
    yield Chart(
        "risk",
        "Risk when the unsure rows are left out",
        "From right to left more rows are left to a person, the most uncertain first. The faster the line "
        "falls, the better the uncertainty orders the errors.",
        shares("share of rows answered"),
        from_zero(
            "error of the answered" if events else "mean absolute error",
            [risk for _, risk in (*main, *other)],
        ),
        (*lines, Line(main, "main", f"{report.n_samples} samples" if report.n_samples else "prediction")),
    )


def samples_charts(report: "Report") -> Iterator[Chart]:
    """Scores against the number of samples."""
    for name in dict.fromkeys(point.name for point in report.samples):
        points = [each for each in report.samples if each.name == name and math.isfinite(each.value)]
        if len(points) > 1:
            yield _samples(name, points)


def elsewhere_chart(report: "Report") -> Iterator[Chart]:
    """The uncertainty of rows from elsewhere beside that of the others."""
    if not report.elsewhere_histograms:
        return
    titles = {"in_distribution": ("other", "these rows"), "out_of_distribution": ("main", "from elsewhere")}
    marks = tuple(Bars(_bars(each), *titles[each.name]) for each in report.elsewhere_histograms)
    unit = "in units of the output" if report.task in {"regression", "heteroscedastic"} else "nats"
    first = report.elsewhere_histograms[0]
    yield Chart(
        "elsewhere",
        "Rows from elsewhere",
        "The less the two overlap, the better the total uncertainty tells rows of another kind.",
        spanning(f"total uncertainty ({unit})", [first.low, first.high]),
        from_zero("share of rows", [height for mark in marks for _, _, height in mark.bars]),
        marks,
    )


def _samples(name: str, points: list[SamplesPoint]) -> Chart:
    places = tuple((math.log2(point.n_samples), point.value) for point in points)
    band = tuple(
        (
            math.log2(each.n_samples),
            each.value - 2 * each.standard_error,
            each.value + 2 * each.standard_error,
        )
        for each in points
        if each.standard_error is not None
    )
    titles = tuple(
        f"{point.n_samples} samples: {point.value:.4g}"
        + ("" if point.standard_error is None else f" ± {point.standard_error:.2g}")
        for point in points
    )
    whole = points[-1].value
    marks: list[Area | Line | Dots] = [Area(band, "band", "± 2 Monte Carlo errors")] if band else []
    # from 4 samples on: two are often so far off that nothing else could be seen
    seen = [point for point in points if point.n_samples >= 4] or points
    reach = [each.value + sign * 2 * (each.standard_error or 0) for each in seen for sign in (-1, 1)]
    y = spanning(_NAMES[name], reach)
    return Chart(
        f"samples_{name}",
        f"{_NAMES[name].partition(' ')[0]} against the number of samples",
        "The first samples of this run are what fewer samples would have given. Where the band is narrow "
        "against the score's own interval, more samples change nothing that these rows could show.",
        doublings("samples", [point.n_samples for point in points]),
        y,
        (
            *marks,
            Line(((places[0][0], whole), (places[-1][0], whole)), "ideal", "all samples"),
            Line(places, "main"),
            Dots(places, "main", "first samples", titles),
        ),
    )


def _bars(histogram: Histogram) -> tuple[tuple[float, float, float], ...]:
    total = max(1, sum(histogram.counts))
    width = (histogram.high - histogram.low) / len(histogram.counts)
    return tuple(
        (histogram.low + i * width, histogram.low + (i + 1) * width, count / total)
        for i, count in enumerate(histogram.counts)
    )
