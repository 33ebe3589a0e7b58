"""A bar chart of what each site carries."""

from pathlib import Path

from matplotlib.figure import Figure

from mcdrop.inspection.doctor import InspectedSite, Inspection

__all__ = ["save_chart"]

_INCHES_PER_SITE = 0.32


def save_chart(found: Inspection, path: str | Path, *, kind: str | None = None) -> None:
    """Draw the share of the variance that each site carries alone, and that is lost without it.

    Args:
        found: With sites.
        path: Of the picture.
        kind: `svg`, `png` or `pdf`; by default what the ending of `path` says.
    """
    height = 1.2 + _INCHES_PER_SITE * max(len(found.sites), 1)
    figure = Figure(figsize=(7, height), layout="constrained")
    axes = figure.add_subplot()
    places = range(len(found.sites))
    series = (("alone on", -0.2, "C0", "share"), ("lost without it", 0.2, "C1", "lost"))
    for label, offset, colour, name in series:
        estimates = [getattr(each, name) for each in found.sites]
        axes.barh(
            [place + offset for place in places],
            [100 * each.value for each in estimates],
            height=0.38,
            xerr=[100 * each.standard_error for each in estimates],
            color=colour,
            label=label,
        )
    axes.set_yticks(list(places), [_label(each) for each in found.sites])
    axes.invert_yaxis()  # in the order of the data, the first on top
    axes.axvline(0, color="black", linewidth=0.8)
    axes.set_xlabel("share of the variance, % (bars: one Monte Carlo standard error)")
    figure.legend(frameon=False, ncols=len(series), loc="outside upper right")  # where it hides no bar
    figure.savefig(path, format=kind)


def _label(each: InspectedSite) -> str:
    rate = "" if each.p is None else f" (p={each.p:g})"
    return f"{each.name}{rate}"
