"""The doctor: what in a model is random, what each site carries, and what is wrong with it.

Checks are small functions of an `Examination`, in which everything was measured once: `structure` looks at
where the sites are, `measured` at what the samples say, `before_sampling` at what needs none. To add a kind
of finding, list it in `finding.CATALOGUE`, write its check, its page under docs/findings/, and a model that
triggers it beside one that only nearly does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from mcdrop.inspection.doctor import InspectedSite, Inspection, inspect
from mcdrop.inspection.finding import CATALOGUE, Finding, Severity

if TYPE_CHECKING:
    from mcdrop.inspection.chart import save_chart

__all__ = [
    "CATALOGUE",
    "CHART_KINDS",
    "Finding",
    "InspectedSite",
    "Inspection",
    "Severity",
    "inspect",
    "save_chart",
]

CHART_KINDS: Final = (".pdf", ".png", ".svg")
"""Endings of the files that `save_chart` writes."""


def __getattr__(name: str) -> Any:
    if name != "save_chart":
        raise AttributeError(f"module 'mcdrop.inspection' has no attribute {name!r}")
    return import_module("mcdrop.inspection.chart").save_chart  # matplotlib is loaded for a chart only
