"""What every test needs before torch is imported: one thread, and sums in a fixed order.

MKL reads `MKL_CBWR` once, when it is loaded, so it is set here, above the import.
"""

import os
import pkgutil
import signal
import time
from collections import Counter
from collections.abc import Iterator
from importlib import import_module
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as behind a shell, and commands inherit it
    signal.signal(signal.SIGINT, signal.default_int_handler)
settings.register_profile("gate", deadline=None, print_blob=True, derandomize=True)
settings.register_profile("search", deadline=None, print_blob=True, max_examples=500)
settings.load_profile("gate")


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Let coverage trace our own modules as they are imported, and not how pytest finds the tests."""
    plugins = session.config.pluginmanager
    plugin: Any = plugins.getplugin("_cov")
    if plugin is None or plugin.cov_controller is None or plugins.hasplugin("dsession"):
        return (yield)  # without coverage, or in the process that only hands the tests out
    for package in ("mcdrop", "mcdrop_service"):
        for module in pkgutil.walk_packages(import_module(package).__path__, f"{package}."):
            import_module(module.name)
    plugin.cov_controller.pause()
    try:
        return (yield)
    finally:
        plugin.cov_controller.resume()


TRACED = 2
"""Cases of each test that coverage traces: all of them take half as long again, and reach few lines more."""


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let coverage trace the first cases of each test only; what it reports can only be too little."""
    if not config.pluginmanager.hasplugin("_cov"):
        return
    cases = Counter[str]()
    for item in items:
        name = item.nodeid.partition("[")[0]
        cases[name] += 1
        if cases[name] > TRACED:
            item.add_marker("no_cover")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long the gate took from its start, installation included, above pytest's closing line."""
    started = os.environ.get("GATE_STARTED")
    if started is not None:
        terminalreporter.write_line(f"The gate took {time.time() - float(started):.0f} s from its start.")
