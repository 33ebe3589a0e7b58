"""A reader that leaves before all is said, as `head` does, changes neither what is done nor the exit code."""

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from mcdrop.cli.streams import patient


def unread(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    """`mcdrop` with these arguments and an output that nobody reads."""
    ours, theirs = os.pipe()
    os.close(ours)
    command = [Path(sys.executable).with_name("mcdrop"), *arguments]
    done = subprocess.run(command, stdout=theirs, stderr=subprocess.PIPE, text=True, check=False)
    os.close(theirs)
    return done


def test_what_nobody_reads_goes_nowhere() -> None:
    ours, theirs = os.pipe()
    with os.fdopen(theirs, "w") as written:
        stream = patient(written)
        print("heard", file=stream, flush=True)
        assert os.read(ours, 100) == b"heard\n"
        os.close(ours)
        print("a" * 100_000, file=stream, flush=True)
        print("and on", file=stream, flush=True)
        assert isinstance(written, io.TextIOWrapper)
        stream.close()


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--help"], 0), (["report", "--help"], 0), (["nothing"], 2)]
)
def test_the_exit_code_is_that_of_the_command(arguments: list[str], code: int) -> None:
    done = unread(*arguments)
    assert done.returncode == code
    assert "Broken" not in done.stderr


def test_files_are_written_and_limits_judged_for_nobody_too(
    regression: Path, table: Path, tmp_path: Path
) -> None:
    asked = ("report", regression, "--data", table, "--markdown", tmp_path / "a.md", "--max-rmse", "1e-9")
    done = unread(*asked)
    assert done.returncode == 1
    assert done.stderr.startswith("failed: rmse is ")
    assert (tmp_path / "a.md").exists()
