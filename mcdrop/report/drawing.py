"""A chart as lengths on a page: what the SVG template writes down.

The drawing is 400 units wide, and text in it 12 units high, so that it can be read at the width of a phone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from mcdrop.charts.marks import Area, Bars, Chart, Dots, Line, Whiskers

__all__ = ["Drawing", "Shape", "Tick", "drawn"]

WIDTH: Final = 400.0
HEIGHT: Final = 280.0
_RIGHT, _TOP, _BOTTOM = 16.0, 10.0, 46.0
_LABEL, _DIGIT = 30.0, 7.0  # width of the label at the left, and of a digit
_RADIUS: Final = 3.0


@dataclass(frozen=True)
class Shape:
    """One element.

    Attributes:
        kind: `path`, `area`, `dot` or `bar`.
        style: Name of it.
        path: Of a path or an area.
        x: Left end of a bar, centre of a dot.
        y: Upper end, or centre.
        width: Of a bar.
        height: Of a bar.
        title: What it is, in words.
    """

    kind: str
    style: str
    path: str = ""
    x: float = 0.0
    y: float = 0.0
    width: float = 0.0
    height: float = 0.0
    title: str = ""


@dataclass(frozen=True)
class Tick:
    """One tick: where, and what is written there."""

    place: float
    text: str


@dataclass(frozen=True)
class Drawing:
    """A chart in units of the drawing.

    Attributes:
        chart: It.
        left: Edge of the plot.
        right: Edge of the plot.
        top: Edge of the plot.
        bottom: Edge of the plot.
        x_ticks: Along the bottom.
        y_ticks: Along the left.
        shapes: From the back to the front.
        legend: Style, kind and label of what has one.
    """

    chart: Chart
    left: float
    right: float
    top: float
    bottom: float
    x_ticks: tuple[Tick, ...]
    y_ticks: tuple[Tick, ...]
    shapes: tuple[Shape, ...]
    legend: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True)
class _Frame:
    chart: Chart

    @property
    def left(self) -> float:
        return _LABEL + _DIGIT * max((len(text) for _, text in self.chart.y.ticks), default=0)

    def x(self, value: float) -> float:
        axis = self.chart.x
        return self.left + _share(value, axis.low, axis.high) * (WIDTH - self.left - _RIGHT)

    def y(self, value: float) -> float:
        axis = self.chart.y
        return HEIGHT - _BOTTOM - _share(value, axis.low, axis.high) * (HEIGHT - _TOP - _BOTTOM)


def drawn(chart: Chart) -> Drawing:
    """The chart in units of the drawing; what lies outside the axes ends at their edge."""
    frame = _Frame(chart)
    return Drawing(
        chart,
        frame.left,
        WIDTH - _RIGHT,
        _TOP,
        HEIGHT - _BOTTOM,
        tuple(Tick(frame.x(place), text) for place, text in chart.x.ticks),
        tuple(Tick(frame.y(place), text) for place, text in chart.y.ticks),
        tuple(shape for mark in chart.marks for shape in _SHAPES[type(mark)](frame, mark)),
        tuple((mark.style, type(mark).__name__.lower(), mark.label) for mark in chart.marks if mark.label),
    )


def _share(value: float, low: float, high: float) -> float:
    return min(1.0, max(0.0, (value - low) / (high - low)))


def _line(frame: _Frame, mark: Line) -> list[Shape]:
    return [Shape("path", mark.style, _path(frame, mark.points))] if mark.points else []


def _area(frame: _Frame, mark: Area) -> list[Shape]:
    there = [(x, upper) for x, _, upper in mark.points]
    back = [(x, lower) for x, lower, _ in reversed(mark.points)]
    return [Shape("area", mark.style, f"{_path(frame, [*there, *back])}Z")] if mark.points else []


def _dots(frame: _Frame, mark: Dots) -> list[Shape]:
    titles = mark.titles or ("",) * len(mark.points)
    return [
        Shape("dot", mark.style, x=frame.x(x), y=frame.y(y), width=_RADIUS, title=title)
        for (x, y), title in zip(mark.points, titles, strict=True)
    ]


def _bars(frame: _Frame, mark: Bars) -> list[Shape]:
    shapes = []
    for left, right, height in mark.bars:
        start, end = frame.x(left) + 0.5, frame.x(right) - 0.5
        top, foot = frame.y(height), frame.y(0.0)
        shapes.append(Shape("bar", mark.style, "", start, top, max(0.5, end - start), max(0.0, foot - top)))
    return shapes


def _whiskers(frame: _Frame, mark: Whiskers) -> list[Shape]:
    return [Shape("path", mark.style, _path(frame, [(x, low), (x, high)])) for x, low, high in mark.spans]


def _path(frame: _Frame, points: object) -> str:
    places = [(frame.x(x), frame.y(y)) for x, y in points]  # type: ignore[attr-defined]
    return "M" + "L".join(f"{x:.1f} {y:.1f}" for x, y in places)


_SHAPES: Final[dict[type, Callable[..., list[Shape]]]] = {
    Line: _line,
    Area: _area,
    Dots: _dots,
    Bars: _bars,
    Whiskers: _whiskers,
}
