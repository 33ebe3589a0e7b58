"""Figures by matplotlib: the charts of a report, and what a prediction looks like.

Every function draws on axes that it is given, or on new ones of a figure of their own, and returns them, so
that everything can be restyled. Figures are made without pyplot: no window, no global state, no backend
chosen. matplotlib is imported when the first figure is drawn.

Alphabet: N rows, Q levels.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import torch
from torch import Tensor

from mcdrop.charts.marks import Area, Bars, Chart, Dots, Line, Whiskers
from mcdrop.extras import require

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["band_figure", "draw_chart", "interval_figure", "new_axes", "uncertainty_figure"]

_COLOURS: Final = {"main": "#14559e", "other": "#a8591b", "ideal": "#6b7580", "band": "#14559e"}
_SIZE: Final = (5.2, 3.8)
_SHOWN: Final = 60


def new_axes() -> "Axes":
    """Axes of a new figure; `axes.figure.savefig(...)` writes it."""
    figure = require("matplotlib.figure").Figure(figsize=_SIZE, layout="constrained")
    axes: Axes = figure.add_subplot()
    return axes


def draw_chart(chart: Chart, ax: "Axes | None" = None) -> "Axes":
    """Draw a chart of a report.

    Args:
        chart: What to draw.
        ax: Where; new ones if not given.

    Returns:
        The axes.
    """
    axes = new_axes() if ax is None else ax
    for mark in chart.marks:
        _DRAWN[type(mark)](axes, mark)
    axes.set(title=chart.title, xlabel=chart.x.label, ylabel=chart.y.label)
    axes.set(xlim=(chart.x.low, chart.x.high), ylim=(chart.y.low, chart.y.high))
    for axis, set_ticks in ((chart.x, axes.set_xticks), (chart.y, axes.set_yticks)):
        set_ticks([place for place, _ in axis.ticks], [text for _, text in axis.ticks])
    if any(mark.label for mark in chart.marks):
        axes.legend(frameon=False, fontsize="small")
    return axes


def band_figure(
    x: Tensor,
    mean: Tensor,
    intervals: Sequence[tuple[float, Tensor, Tensor]],
    ax: "Axes | None" = None,
) -> "Axes":
    """A regression of one number on one number: the mean, and bands around it.

    Args:
        x: (N,) inputs, in any order.
        mean: (N,) predictions.
        intervals: Level, lower and upper ends (N,) of each band, the widest first.
        ax: Where; new ones if not given.

    Returns:
        The axes.
    """
    axes = new_axes() if ax is None else ax
    order = x.argsort().cpu()
    place = _array(x)[order]
    for level, lower, upper in intervals:
        axes.fill_between(
            place,
            _array(lower)[order],
            _array(upper)[order],
            color=_COLOURS["main"],
            alpha=0.18,
            linewidth=0,
            label=f"{level:.0%} interval",
        )
    axes.plot(place, _array(mean)[order], color=_COLOURS["main"], label="mean")
    axes.set(xlabel="x", ylabel="prediction")
    axes.legend(frameon=False, fontsize="small")
    return axes


def interval_figure(
    mean: Tensor, lower: Tensor, upper: Tensor, *, level: float, ax: "Axes | None" = None
) -> "Axes":
    """Rows in the order of their mean, each with its interval; of many rows 60 at equal distances.

    Args:
        mean: (N,) predictions.
        lower: (N,) lower ends.
        upper: (N,) upper ends.
        level: Of the intervals.
        ax: Where; new ones if not given.

    Returns:
        The axes.
    """
    axes = new_axes() if ax is None else ax
    order = mean.argsort()
    shown = order[torch.linspace(0, len(order) - 1, min(_SHOWN, len(order)), device="cpu").round().long()]
    place = range(len(shown))
    axes.vlines(
        place,
        _array(lower[shown]),
        _array(upper[shown]),
        color=_COLOURS["main"],
        alpha=0.4,
        label=f"{level:.0%} interval",
    )
    axes.plot(place, _array(mean[shown]), "o", color=_COLOURS["main"], markersize=3, label="mean")
    axes.set(xlabel="rows, in the order of their mean", ylabel="prediction", xticks=[])
    axes.legend(frameon=False, fontsize="small")
    return axes


def uncertainty_figure(aleatoric: Tensor, epistemic: Tensor, ax: "Axes | None" = None) -> "Axes":
    """Every row at its two kinds of uncertainty.

    Args:
        aleatoric: (N,) nats.
        epistemic: (N,) nats.
        ax: Where; new ones if not given.

    Returns:
        The axes.
    """
    axes = new_axes() if ax is None else ax
    axes.plot(
        _array(aleatoric),
        _array(epistemic),
        "o",
        color=_COLOURS["main"],
        alpha=0.5,
        markersize=4,
        linewidth=0,
    )
    axes.set(xlabel="expected entropy, aleatoric (nats)", ylabel="mutual information, epistemic (nats)")
    axes.set(xlim=(0, None), ylim=(0, None))
    return axes


def _array(values: Tensor) -> Any:
    return values.to(torch.float64).numpy(force=True)


def _line(axes: "Axes", mark: Line) -> None:
    if mark.points:
        xs, ys = zip(*mark.points, strict=True)
        style = {"ideal": ":", "other": "--"}.get(mark.style, "-")
        axes.plot(xs, ys, style, color=_COLOURS[mark.style], label=mark.label or None)


def _dots(axes: "Axes", mark: Dots) -> None:
    if mark.points:
        xs, ys = zip(*mark.points, strict=True)
        axes.plot(xs, ys, "o", color=_COLOURS[mark.style], markersize=4, label=mark.label or None)


def _area(axes: "Axes", mark: Area) -> None:
    if mark.points:
        xs, lower, upper = zip(*mark.points, strict=True)
        colour = _COLOURS[mark.style]
        axes.fill_between(xs, lower, upper, color=colour, alpha=0.15, linewidth=0, label=mark.label or None)


def _bars(axes: "Axes", mark: Bars) -> None:
    lefts, rights, heights = zip(*mark.bars, strict=True)
    widths = [right - left for left, right in zip(lefts, rights, strict=True)]
    colour = _COLOURS[mark.style]
    axes.bar(lefts, heights, widths, align="edge", color=colour, alpha=0.55, label=mark.label or None)


def _whiskers(axes: "Axes", mark: Whiskers) -> None:
    if mark.spans:
        xs, lower, upper = zip(*mark.spans, strict=True)
        axes.vlines(xs, lower, upper, color=_COLOURS[mark.style], label=mark.label)


_DRAWN: Final[dict[type, Callable[..., None]]] = {
    Line: _line,
    Dots: _dots,
    Area: _area,
    Bars: _bars,
    Whiskers: _whiskers,
}
