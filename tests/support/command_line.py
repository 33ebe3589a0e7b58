"""The command line, run in this process or as a real one."""

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from mcdrop.cli.app import main


@dataclass(frozen=True)
class Finished:
    """Exit code, and what was printed where."""

    code: int
    out: str
    err: str


def run_here(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> Finished:
    """`mcdrop` with these arguments, in this process."""
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return Finished(int(ended.value.code or 0), out, err)


def run_apart(*arguments: str | Path, environment: Mapping[str, str] | None = None) -> Finished:
    """`mcdrop` with these arguments, in a process of its own."""
    command = [Path(sys.executable).with_name("mcdrop"), *arguments]
    variables = {**os.environ, **(environment or {})}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    return Finished(done.returncode, done.stdout, done.stderr)
