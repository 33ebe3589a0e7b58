"""`mcdrop serve` as an operator meets it: the greeting, and every way to start it wrong."""

import os
import shutil
import socket
import subprocess
from pathlib import Path

import pytest
from mcdrop_service.settings import read_settings

from tests.e2e.conftest import SERVE
from tests.support.wire import Server, get


def serve(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [*SERVE, "--port", "0", *(os.fspath(argument) for argument in arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def refused(*arguments: str | Path) -> str:
    """What the command says when it ends with exit code 2, without a traceback and with nothing served."""
    ended = serve(*arguments)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "Traceback" not in ended.stderr
    return ended.stderr


def test_every_model_is_ready_and_described(server: Server) -> None:
    assert get(server, "/readyz").status == 200
    assert get(server, "/v1/models").document == {"models": ["diabetes", "digits"]}


def test_the_greeting_says_where(server: Server) -> None:
    assert f"http://127.0.0.1:{server.port}" in server.greeting


@pytest.fixture
def copy(models: Path, tmp_path: Path) -> Path:
    """A copy of the digits checkpoint beside the diabetes one, to be damaged."""
    for name in ("digits", "diabetes"):
        shutil.copytree(models / name, tmp_path / name)
    return tmp_path


def test_a_changed_byte_in_one_checkpoint_serves_nothing(copy: Path) -> None:
    weights = copy / "digits" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    assert "model.safetensors" in refused(copy)


@pytest.mark.parametrize("file", ["mcdrop.json", "model.safetensors"])
def test_a_missing_file_in_one_checkpoint_serves_nothing(copy: Path, file: str) -> None:
    (copy / "digits" / file).unlink()
    assert file in refused(copy)


def test_a_pickle_where_safetensors_is_wanted_serves_nothing(copy: Path) -> None:
    (copy / "digits" / "model.safetensors").write_bytes(b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00.")
    assert "model.safetensors" in refused(copy)


def test_a_directory_without_checkpoints_is_refused(tmp_path: Path) -> None:
    assert "holds no checkpoint" in refused(tmp_path)


def test_a_directory_that_is_none_is_refused(tmp_path: Path) -> None:
    assert "is no directory" in refused(tmp_path / "none")


def test_a_model_that_is_not_there_is_refused_by_name(models: Path) -> None:
    assert "no checkpoint 'letters'; it has" in refused(models, "--models", "digits,letters")


def test_a_port_that_is_taken_is_refused(models: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refused(models, "--models", "diabetes", "--port", str(taken.getsockname()[1]))


def test_the_settings_are_printed_as_a_file_that_is_read_again(tmp_path: Path) -> None:
    printed = serve("--max-queue-units", "77", "--print-config").stdout
    (tmp_path / "settings.toml").write_text(printed)
    assert read_settings({}, tmp_path / "settings.toml").max_queue_units == 77


def test_a_setting_that_is_none_is_refused_by_name(models: Path) -> None:
    assert "max_n_samples: Input should be" in refused(models, "--max-n-samples", "one")
