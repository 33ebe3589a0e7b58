"""The command line, run in this process or as a real one."""

import os
import pty
import subprocess
import sys
from collections.abc import Iterator, Mapping
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


def drawn_on_a_terminal(*command: str | Path) -> bytes:
    """What a command writes to standard error if that is a terminal; it must succeed."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen([*map(str, command)], stderr=theirs, stdout=subprocess.DEVNULL)
    os.close(theirs)
    drawn = b"".join(_until_closed(ours))
    os.close(ours)
    assert process.wait() == 0
    return drawn


def _until_closed(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            part = os.read(terminal, 65536)
        except OSError:  # how Linux says that the other end is closed
            return
        if not part:
            return
        yield part
