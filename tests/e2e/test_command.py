"""`mcdrop serve` as an operator meets it: the greeting, and every way to start it wrong."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from mcdrop_service.command import _Addresses, _open, _work
from mcdrop_service.execution import Engine, Repository
from mcdrop_service.settings import Settings, read_settings
from mcdrop_service.web import listening_socket
from mcdrop_service.web.keys import digest_of

from tests.e2e.conftest import SERVE
from tests.e2e.test_reload import add_version
from tests.support.checkpoints import small_checkpoint
from tests.support.command_line import run_here
from tests.support.wire import PATIENCE_S, Server, get, post, running, until

TEST_DATA = Path(__file__).parents[2] / "models" / "diabetes" / "test.npz"
UNUSED_ADDRESS = "127.0.0.2"


Refused = Callable[..., str]


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Refused]:
    """What the command says when it ends with exit code 2 and nothing served, in this process."""
    opened: list[socket.socket] = []

    def noted(host: str, port: int) -> socket.socket:
        opened.append(listening_socket(host, port))
        return opened[-1]

    def said(*arguments: str | Path) -> str:
        port = () if "--port" in arguments else ("--port", "0")
        ended = run_here(capsys, "serve", *port, *arguments)
        assert (ended.code, ended.out) == (2, "")
        return ended.err

    for name in ("log_as_json", "serve_until_stopped", "supervise"):
        monkeypatch.setattr(f"mcdrop_service.command.{name}", lambda *_, **__: None)
    monkeypatch.setattr("mcdrop_service.command.listening_socket", noted)
    monkeypatch.setattr("signal.signal", lambda *_: None)
    yield said
    for each in opened:
        each.close()


def test_every_model_is_ready_and_described(server: Server) -> None:
    assert get(server, "/readyz").status == 200
    assert get(server, "/v1/models").document == {"models": ["diabetes", "digits"]}


def test_a_signal_to_stop_while_models_are_loaded_ends_the_process(models: Path, tmp_path: Path) -> None:
    """By a handler of its own: the first process of a container has no other. A pipe holds the start up."""
    keys = tmp_path / "keys"
    os.mkfifo(keys)
    started = subprocess.Popen([*SERVE, os.fspath(models), "--port", "0", "--api-keys-file", os.fspath(keys)])
    with keys.open("w"):  # as soon as it is read
        started.send_signal(signal.SIGHUP)  # there is nothing to load anew
        started.send_signal(signal.SIGTERM)
        assert started.wait(PATIENCE_S) == 128 + signal.SIGTERM


def test_the_greeting_says_where(server: Server) -> None:
    assert f"http://127.0.0.1:{server.port}" in server.greeting


@pytest.fixture
def copy(models: Path, tmp_path: Path) -> Path:
    """A copy of the digits checkpoint beside the diabetes one, to be damaged."""
    for name in ("digits", "diabetes"):
        shutil.copytree(models / name, tmp_path / name)
    return tmp_path


def test_a_changed_byte_in_one_checkpoint_serves_nothing(copy: Path) -> None:
    """In a process of its own, as an operator sees it."""
    weights = copy / "digits" / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    command = [*SERVE, os.fspath(copy), "--port", "0"]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert (ended.returncode, ended.stdout) == (2, "")
    assert "model.safetensors" in ended.stderr
    assert "Traceback" not in ended.stderr


@pytest.mark.parametrize("file", ["mcdrop.json", "model.safetensors"])
def test_a_missing_file_in_one_checkpoint_serves_nothing(copy: Path, file: str, refused: Refused) -> None:
    (copy / "digits" / file).unlink()
    assert file in refused(copy)


def test_a_pickle_where_safetensors_is_wanted_serves_nothing(copy: Path, refused: Refused) -> None:
    (copy / "digits" / "model.safetensors").write_bytes(b"\x80\x04\x95\x0e\x00\x00\x00\x00\x00\x00\x00.")
    assert "model.safetensors" in refused(copy)


def test_a_directory_without_checkpoints_is_refused(tmp_path: Path, refused: Refused) -> None:
    assert "holds no checkpoint" in refused(tmp_path)


def test_a_directory_that_is_none_is_refused(tmp_path: Path, refused: Refused) -> None:
    assert "is no directory" in refused(tmp_path / "none")


def test_a_model_that_is_not_there_is_refused_by_name(models: Path, refused: Refused) -> None:
    assert "no checkpoint 'letters'; it has" in refused(models, "--models", "digits,letters")


def test_a_port_that_is_taken_is_refused(models: Path, refused: Refused) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert "in use" in refused(models, "--models", "diabetes", "--port", str(taken.getsockname()[1]))


def test_a_port_that_one_of_several_workers_cannot_have_is_refused_before_anything_is_served(
    models: Path, refused: Refused
) -> None:
    # At an address of its own, since a connection of another test may have the port before the taken one.
    with socket.create_server((UNUSED_ADDRESS, 0)) as taken:
        port = taken.getsockname()[1]
        said = refused(models, "--workers", "2", "--host", UNUSED_ADDRESS, "--port", str(port - 1))
    assert f"{UNUSED_ADDRESS}:{port}" in said
    assert "in use" in said


def has_version_2(server: Server) -> bool:
    return bool(get(server, "/v1/models/small").document["version"] == "2")


def test_workers_have_a_port_each_change_their_models_and_end_with_the_service(
    tmp_path: Path,
) -> None:
    small_checkpoint(tmp_path / "small")
    command = [*SERVE, os.fspath(tmp_path), "--workers", "2", "--torch-threads", "1", "--port", "0"]
    log = tmp_path / "log"
    environment = {"MCDROP_DRAIN_DELAY_MS": "0", "OMP_NUM_THREADS": "2"}
    with log.open("w") as file, running(command, file, **environment) as server:
        ports = {int(port) for port in re.findall(r":(\d+)", server.greeting)}
        assert len(ports) == 2
        workers = [replace(server, port=port) for port in ports]
        told = [get(each, "/v1/models/small").document for each in workers]
        assert told[0] == told[1]
        assert told[0]["fingerprint_of"]["threads"] == 1
        add_version(tmp_path, 2)
        server.process.send_signal(signal.SIGHUP)
        for each in workers:
            until(partial(has_version_2, each))
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        for each in workers:
            with pytest.raises(ConnectionError):
                get(each, "/healthz")
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert {line["port"] for line in lines if line["message"] == "ready"} == ports


def test_the_greeting_ends_with_a_request_that_is_answered(server: Server) -> None:
    assert server.process.stdout is not None
    words = shlex.split(server.process.stdout.readline())
    body = json.loads(words[words.index("-d") + 1])
    answer = post(server, words[2].partition(str(server.port))[2], body)
    assert (words[0], answer.status) == ("curl", 200)
    assert body["inputs"] == [[float(str(number)) for number in np.load(TEST_DATA)["x"][0]]]


def test_a_misspelt_variable_is_warned_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MCDROP_PROT", "1")
    done = run_here(capsys, "serve", "--print-config")
    assert done.code == 0
    assert "warning: MCDROP_PROT is no setting; mcdrop serve --print-config lists all" in done.err


def test_the_settings_are_printed_as_a_file_that_is_read_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    printed = run_here(capsys, "serve", "--max-queue-units", "77", "--print-config").out
    (tmp_path / "settings.toml").write_text(printed)
    assert read_settings({}, tmp_path / "settings.toml").max_queue_units == 77
    monkeypatch.setenv("MCDROP_CONFIG", str(tmp_path / "settings.toml"))
    assert "max_queue_units = 77\n" in run_here(capsys, "serve", "--print-config").out


def test_what_the_command_is_told_reaches_the_models(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", sys.path[:])
    seen: list[Repository] = []
    monkeypatch.setattr(
        "mcdrop_service.command._serve", lambda repository, _settings: seen.append(repository)
    )
    options = [
        "--models",
        "digits@1,diabetes",
        "--allow-package",
        "a",
        "--allow-package",
        "b",
        "--max-mask-bytes",
        "7",
    ]
    monkeypatch.setenv("MCDROP_DEVICE", "cuda:1")
    assert run_here(capsys, "serve", models, *options, "--max-mask-bytes", "7").code == 0
    assert sys.path[-1] == str(tmp_path)  # where the packages may be
    assert run_here(capsys, "serve", models, "--device", "cpu").code == 0
    names = ("digits@1", "diabetes")
    assert seen == [Repository(models, names, ("a", "b"), "cuda:1", 7), Repository(models, device="cpu")]


def worked(monkeypatch: pytest.MonkeyPatch, models: Path, **settings: Any) -> int:
    """The exit code of a worker in this process, whose server ends at once for some reason."""
    monkeypatch.setattr("mcdrop_service.command.serve_until_stopped", lambda *_, **__: "some reason")
    monkeypatch.setattr("signal.signal", lambda *_: None)
    asked = Settings(port=0, torch_threads=torch.get_num_threads(), **settings)
    ports = _open(asked, 0, asked.management_port)
    try:
        return _work(Repository(models, ("diabetes",)), asked, _Addresses.of([ports]), ports, print)
    finally:
        ports.close()


@pytest.mark.parametrize(("died", "code"), [(True, 1), (False, 2)])
def test_a_worker_that_died_is_a_fault_and_no_wrong_input(
    models: Path, monkeypatch: pytest.MonkeyPatch, died: bool, code: int
) -> None:
    monkeypatch.setattr(Engine, "died", died)
    assert worked(monkeypatch, models) == code


def test_keys_open_the_service_and_the_token_alone_its_management(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[object] = []
    opened = "mcdrop_service.command.create_management_app"
    monkeypatch.setattr(opened, lambda service, token: told.extend([service.keys, token]))
    (tmp_path / "keys").write_text(f"tests:{digest_of('key').hex()}\n")
    (tmp_path / "token").write_text("a-token-for-this-test\n")
    files = {"api_keys_file": tmp_path / "keys", "management_token_file": tmp_path / "token"}
    assert worked(monkeypatch, models, management_port=0, **files) == 2
    assert told == [(digest_of("key"),), (digest_of("a-token-for-this-test"),)]


def test_a_setting_that_is_none_is_refused_by_name(models: Path, refused: Refused) -> None:
    assert "max_n_samples: Input should be" in refused(models, "--max-n-samples", "one")


@pytest.mark.parametrize(
    ("content", "came"),
    [
        (b"prot = 1", "there is no setting prot; mcdrop serve --print-config lists all"),
        (b"workers = 0", "workers: Input should be greater than or equal to 1, got 0"),
        (b"management_port = 1", "error: management_port needs management_token_file"),
        (b"port: 1", "is not TOML: "),
        (b"\xff\xfe", "is not TOML: 'utf-8' codec"),
    ],
)
def test_a_file_of_settings_that_is_wrong_is_refused_in_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: bytes, came: str
) -> None:
    (tmp_path / "wrong.toml").write_bytes(content)
    done = run_here(capsys, "serve", "DIR", "--config", tmp_path / "wrong.toml")
    assert (done.code, done.out, done.err.count("\n")) == (2, "", 1)
    assert came in done.err


def test_a_file_of_keys_that_is_not_there_is_named(models: Path, refused: Refused) -> None:
    assert "error: none: No such file or directory" in refused(models, "--api-keys-file", "none")
