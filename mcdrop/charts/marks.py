"""What a chart consists of. Styles are names: who draws decides about colours.

Styles: `main` is the Monte Carlo prediction, `other` what it is compared with, `ideal` how it should be,
`band` what chance alone does.
"""

from dataclasses import dataclass

__all__ = ["Area", "Axis", "Bars", "Chart", "Dots", "Line", "Whiskers"]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Attributes:
        label: With the unit.
        low: Where it begins.
        high: Where it ends; above `low`.
        ticks: Places and what is written there.
    """

    label: str
    low: float
    high: float
    ticks: tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Line:
    """A line through points.

    Attributes:
        points: (x, y) in order.
        style: Name of it.
        label: In the legend; none if empty.
    """

    points: tuple[tuple[float, float], ...]
    style: str = "main"
    label: str = ""


@dataclass(frozen=True)
class Dots:
    """Points.

    Attributes:
        points: (x, y).
        style: Name of it.
        label: In the legend; none if empty.
        titles: What each point is, in words; as many as points, or none.
    """

    points: tuple[tuple[float, float], ...]
    style: str = "main"
    label: str = ""
    titles: tuple[str, ...] = ()


@dataclass(frozen=True)
class Area:
    """An area between two lines.

    Attributes:
        points: (x, lower, upper) in order.
        style: Name of it.
        label: In the legend; none if empty.
    """

    points: tuple[tuple[float, float, float], ...]
    style: str = "band"
    label: str = ""


@dataclass(frozen=True)
class Bars:
    """Bars from 0.

    Attributes:
        bars: (left, right, height).
        style: Name of it.
        label: In the legend; none if empty.
    """

    bars: tuple[tuple[float, float, float], ...]
    style: str = "main"
    label: str = ""


@dataclass(frozen=True)
class Whiskers:
    """Vertical lines from a lower to an upper end.

    Attributes:
        spans: (x, lower, upper).
        style: Name of it.
        label: In the legend; none if empty.
    """

    spans: tuple[tuple[float, float, float], ...]
    style: str = "main"
    label: str = ""


@dataclass(frozen=True)
class Chart:
    """One diagram.

    Attributes:
        name: By which it is asked for.
        title: Above it.
        caption: How to read it, and what good looks like.
        x: The horizontal axis.
        y: The vertical one.
        marks: From the back to the front.
        output: Which output it is about; None if there is one.
    """

    name: str
    title: str
    caption: str
    x: Axis
    y: Axis
    marks: tuple[Line | Dots | Area | Bars | Whiskers, ...]
    output: int | None = None
