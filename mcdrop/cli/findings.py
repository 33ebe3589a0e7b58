"""What the doctor found, for people: a table of the sites, and the findings below it."""

import math
from collections.abc import Iterator
from typing import Final

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from mcdrop.inspection import Finding, InspectedSite, Inspection
from mcdrop.sensitivity import Estimate

__all__ = ["findings_text", "measured_text", "sites_table"]

_STYLES: Final = {"error": "bold red", "warning": "bold yellow", "hint": "bold cyan"}
_COLUMNS: Final = ("site", "kind", "at", "rate", "mask of a row", "variance alone", "lost without")
_NUMBERS: Final = ("rate", "variance alone", "lost without")


def sites_table(found: Inspection) -> Table:
    """The sites, in the order of the data."""
    title = f"{len(found.sites)} random {'site' if len(found.sites) == 1 else 'sites'}"
    table = Table(title=title, title_justify="left", title_style="bold")
    for name in _COLUMNS:
        table.add_column(name, justify="right" if name in _NUMBERS else "left", overflow="fold")
    for site in found.sites:
        table.add_row(*_cells(site))
    return table


def _cells(site: InspectedSite) -> Iterator[str]:
    shape = " x ".join(map(str, site.row_shape)) or "one number"
    yield site.name
    yield site.title
    yield site.role
    yield "" if site.p is None else f"{site.p:g}"
    yield shape if site.site.row_axis is not None else f"{shape}, the same for all rows"
    yield _share(site.share)
    yield _share(site.lost)


def _share(estimate: Estimate) -> str:
    if math.isnan(estimate.value):
        return "none"  # nothing moves on these rows
    return f"{100 * estimate.value:.0f} % ± {100 * estimate.standard_error:.0f}"


def measured_text(found: Inspection, rows: str) -> Text:
    """What the numbers were measured on, and how far the two means lie apart.

    Args:
        found: With sites or without.
        rows: Where the rows come from.
    """
    if not found.sites:
        return Text(f"not sampled: {rows}", "dim")
    part = f"the first {found.measured_rows} of " if found.measured_rows < found.rows else ""
    how = f"{part}{rows}; {found.measured_samples} samples, seed {found.seed}"
    return Text(
        f"measured on {how}. The Monte Carlo mean lies {found.shift_stds:.2f} standard deviations "
        f"of the samples ({found.shift_errors:.1f} Monte Carlo errors) from the deterministic pass",
        "dim",
    )


def findings_text(found: Inspection) -> RenderableType:
    """The findings, the gravest first, each with what to do."""
    if not found.findings:
        return Text("no findings", style="bold green")
    parts = [part for finding in found.findings for part in _finding_parts(finding)]
    return Group(*parts)


def _finding_parts(finding: Finding) -> Iterator[RenderableType]:
    word = finding.severity.word
    where = finding.module or "the model"
    yield Text.assemble((f"{word} {finding.code}", _STYLES[word]), f" {where}: ", (finding.title, "bold"))
    yield Padding(Text(finding.message), (0, 0, 0, 2))
    yield Padding(Text(f"-> {finding.todo}; see {finding.page}"), (0, 0, 0, 2))
