"""What every test needs before torch is imported: one thread, and sums in a fixed order.

MKL reads `MKL_CBWR` once, when it is loaded, so it is set here, above the import.
"""

import os
import time

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import pytest
import torch
from hypothesis import settings

torch.set_num_threads(1)
settings.register_profile("mcdrop", deadline=None, print_blob=True)
settings.load_profile("mcdrop")


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print how long the gate took from its start, installation included, above pytest's closing line."""
    started = os.environ.get("GATE_STARTED")
    if started is not None:
        terminalreporter.write_line(f"The gate took {time.time() - float(started):.0f} s from its start.")
