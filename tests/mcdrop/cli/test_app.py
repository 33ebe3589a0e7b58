"""The entry point answers at once, says what is wrong in one line, and ends with the right code."""

import json
import os
import signal
import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from mcdrop import __version__
from mcdrop.cli import commands
from mcdrop.errors import MissingExtraError
from tests.support.command_line import run_apart, run_here

IMPORTED = """
import json, os, sys
from mcdrop.cli.app import main
try:
    main(sys.argv[1:])
except SystemExit as ended:
    sys.stderr.write(json.dumps([ended.code, "torch" in sys.modules, os.environ.get("MKL_CBWR")]))
"""


def imported(*arguments: str, environment: dict[str, str] | None = None) -> list[object]:
    """Exit code, whether torch was imported, and MKL_CBWR, after a command in a process of its own."""
    variables = {name: value for name, value in os.environ.items() if name != "MKL_CBWR"}
    command = [sys.executable, "-c", IMPORTED, *arguments]
    done = subprocess.run(
        command, env={**variables, **(environment or {})}, capture_output=True, text=True, check=True
    )
    facts: list[object] = json.loads(done.stderr.splitlines()[-1])
    return facts


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_help_and_version_do_not_import_torch(option: str) -> None:
    assert imported(option) == [0, False, "AUTO,STRICT"]


def test_sums_keep_their_order_unless_the_user_says_otherwise() -> None:
    assert imported("predict", "--help") == [0, True, "AUTO,STRICT"]
    assert imported("--version", environment={"MKL_CBWR": "AVX2"}) == [0, False, "AVX2"]


def test_the_version_is_that_of_the_package() -> None:
    finished = run_apart("--version")
    assert (finished.code, finished.out) == (0, f"mcdrop {__version__}\n")


def test_help_lists_every_command_in_the_order_of_use(capsys: pytest.CaptureFixture[str]) -> None:
    help_text = run_here(capsys, "--help").out
    places = [help_text.index(f" {name} ") for name in ("inspect", "predict", "report", "pack", "serve")]
    assert places == sorted(places)
    assert "Exit codes: 0 done" in help_text


@pytest.mark.parametrize("name", ["inspect", "predict", "report", "pack"])
def test_every_command_explains_itself_with_an_example(capsys: pytest.CaptureFixture[str], name: str) -> None:
    finished = run_here(capsys, name, "--help")
    assert finished.code == 0
    assert f"mcdrop {name} " in finished.out


@pytest.mark.parametrize(
    "arguments", [["frobnicate"], ["inspect"], ["predict", "a"], ["inspect", "a", "--loud"], ["report", "a"]]
)
def test_bad_usage_is_exit_code_2(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    finished = run_here(capsys, *arguments)
    assert finished.code == 2
    assert finished.out == ""
    assert "Traceback" not in finished.err


def test_an_error_raised_on_purpose_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    finished = run_here(capsys, "inspect", "no/such/checkpoint")
    assert finished.code == 2
    assert finished.err == "error: there is no checkpoint at no/such/checkpoint\n"


def test_an_interrupt_is_no_failed_check_and_no_traceback(tmp_path: Path) -> None:
    pipe = tmp_path / "weights.pt"
    os.mkfifo(pipe)
    options = ("--architecture", "diabetes_mlp", "--task", "regression", "--input", "x:float32:10")
    command = [Path(sys.executable).with_name("mcdrop"), "pack", pipe, tmp_path / "out", *options]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    with pipe.open("wb"):  # opens when the command waits at the other end, for the end of the file
        process.send_signal(signal.SIGINT)
        _, err = process.communicate()
    assert (process.returncode, err) == (130, "")


def test_a_command_that_is_not_installed_says_what_to_install() -> None:
    with pytest.raises(MissingExtraError, match=r"serve is not installed; .*pip install 'mcdrop\[serve\]'"):
        commands._loaded("serve", None)


def test_a_command_whose_packages_are_missing_says_what_to_install() -> None:
    broken = EntryPoint("serve", "no_such_package:serve", commands.GROUP)
    with pytest.raises(MissingExtraError, match=r"No module named .*pip install 'mcdrop\[serve\]'"):
        commands._loaded("serve", broken)


def test_installed_packages_add_commands(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_here(capsys, "serve", "--help").code == 0
