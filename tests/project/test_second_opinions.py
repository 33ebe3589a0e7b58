"""The page of second opinions names every metric, and nothing that is not one."""

import importlib
import inspect
import pkgutil
import re

import mcdrop.metrics
from tests.support.repository import ROOT

PAGE = (ROOT / "docs" / "second-opinions.md").read_text()
NO_METRICS = {"resampling"}


def metrics() -> set[str]:
    modules = [
        each.name for each in pkgutil.iter_modules(mcdrop.metrics.__path__) if each.name not in NO_METRICS
    ]
    found = [importlib.import_module(f"mcdrop.metrics.{name}") for name in modules]
    return {name for module in found for name in module.__all__ if inspect.isfunction(getattr(module, name))}


def test_every_metric_has_a_line() -> None:
    named = set(re.findall(r"`(\w+)`", PAGE))
    assert metrics() <= named
    assert named - metrics() <= {"make"}


def test_oracles_that_the_page_names_are_installed_by_make_oracles() -> None:
    makefile = (ROOT / "Makefile").read_text()
    heavy = {name.lower() for name in re.findall(r"([A-Za-z-]+)\*", PAGE)}
    assert heavy
    assert all(name in makefile for name in heavy)
