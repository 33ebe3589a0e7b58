"""The soak in a short form: the long one is `make soak`."""

import subprocess
import sys

from tests.support.repository import ROOT


def test_memory_and_open_files_do_not_grow_with_the_requests() -> None:
    command = [sys.executable, "benchmarks/soak.py", "--requests", "660"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "open files steady" in done.stdout
