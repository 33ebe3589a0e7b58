"""Stopping: readiness off, drain, exit code 0; a second signal at once. Each test has its own process."""

import json
import re
import signal
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

import pytest
from mcdrop_service.web import listening_socket, serve_until_stopped

from tests.service.holding import PREDICT, asking, held, holding
from tests.service.models import FAKE_SERVER
from tests.support.wire import PATIENCE_S, Answer, Server, answers, connected, get, post, read_answer, running


def eventually(server: Server, state: str) -> Answer:
    """The first answer of `/readyz` that names a state; a signal takes a moment to arrive."""
    limit = time.monotonic() + PATIENCE_S
    while (answer := get(server, "/readyz")).document["state"] != state:
        assert time.monotonic() < limit, answer.document
    return answer


def test_sigterm_turns_readiness_off_and_all_are_answered_until_a_second_one_ends_it_amid_the_work() -> None:
    probe = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    with running(FAKE_SERVER, MCDROP_DRAIN_DELAY_MS="600000") as server, ThreadPoolExecutor(1) as pool:
        with held(server) as running_on, connected(server) as kept:
            kept.sendall(probe)
            assert "connection" not in read_answer(kept).headers
            server.process.send_signal(signal.SIGTERM)
            assert eventually(server, "draining").status == 503
            kept.sendall(probe)
            assert read_answer(kept).headers["connection"] == "close"
            assert get(server, "/v2/health/ready").document == {"ready": False, "live": True}
            assert get(server, "/v2/models/toy/ready").status == 503
            (entry,) = post(server, "/v2/repository/index", b"").document
            assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "draining")
            assert get(server, "/healthz").status == 200
            late = pool.submit(post, server, PREDICT, asking(1, 2, 3))
        assert (late.result().status, running_on.result().status) == (200, 200)
        with held(server) as cut_off:
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE_S) == 128 + signal.SIGTERM
            with pytest.raises(ConnectionError):
                cut_off.result()


def test_after_a_while_the_port_closes_and_what_runs_is_finished() -> None:
    with running(FAKE_SERVER, MCDROP_DRAIN_DELAY_MS="300") as server:
        with held(server) as running_on:
            began_s = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            while answers(server, "/healthz"):
                assert time.monotonic() < began_s + PATIENCE_S
            assert time.monotonic() - began_s > 0.3
        assert running_on.result().status == 200
        assert server.process.wait(PATIENCE_S) == 0


def test_the_log_tells_of_the_start_and_of_the_stop(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file, running((*FAKE_SERVER, "logging"), file) as server:
        server.process.send_signal(signal.SIGINT)
        assert server.process.wait(PATIENCE_S) == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    told = [line["message"] for line in lines if line["logger"] == "mcdrop_service"]
    assert (told[0], told[-1]) == ("ready", "stopped")
    assert lines[0]["models"] == ["toy"]


def test_sigint_does_not_wait_for_load_balancers() -> None:
    with running(FAKE_SERVER, MCDROP_DRAIN_DELAY_MS="600000") as server:
        with connected(server) as asking, connected(server) as idle:
            body = b'{"inputs": [[674, 0, 0]], "n_samples": 16}'
            asking.sendall(f"POST {PREDICT} HTTP/1.1\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body)
            with holding(server):
                server.process.send_signal(signal.SIGINT)
                assert idle.recv(1) == b""
            answer = read_answer(asking)
            assert (answer.status, answer.headers["connection"]) == (200, "close")
            assert asking.recv(1) == b""
        assert server.process.wait(PATIENCE_S) == 0


def test_work_that_outlasts_the_drain_is_given_up() -> None:
    limits = {"MCDROP_DRAIN_DELAY_MS": "0", "MCDROP_DRAIN_TIMEOUT_MS": "1000"}
    with (
        running((*FAKE_SERVER, "impatient"), **limits) as server,
        held(server) as given_up,
    ):
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
        answer = given_up.result()
        assert (answer.status, answer.error) == (503, "the service is stopping")


def test_more_connections_than_the_cap_are_turned_away_and_counted() -> None:
    with running(FAKE_SERVER, MCDROP_MAX_CONNECTIONS="2") as server:
        held = [socket.create_connection(("127.0.0.1", server.port)) for _ in range(2)]
        for connection in held:
            connection.sendall(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n")
            assert read_answer(connection).status == 200
        refused = get(server, "/healthz")
        assert (refused.status, refused.error) == (503, "at most 2 connections may be open at once")
        for connection in held:
            connection.close()
        while (told := get(server, "/metrics")).status != 200:
            pass
        found = re.search(rb'mcdrop_requests_rejected_total{reason="connections"} (\d+)', told.body)
        assert found is not None


def test_a_model_that_fails_its_warm_up_stops_the_process_and_is_never_served() -> None:
    ended = subprocess.run(
        [*FAKE_SERVER, "broken"], capture_output=True, text=True, timeout=PATIENCE_S, check=False
    )
    assert ended.returncode == 1
    assert ended.stdout == ""
    assert ended.stderr.endswith("a model failed its warm-up: nothing is random\n")


def test_of_two_that_have_one_address_the_second_says_that_it_cannot_listen() -> None:
    with listening_socket("127.0.0.1", 0) as first:
        port = first.getsockname()[1]
        with listening_socket("127.0.0.1", port) as second:
            first.listen()
            nothing = cast("Any", None)
            failure = serve_until_stopped(nothing, service=nothing, listener=second)
    assert failure == f"cannot listen on http://127.0.0.1:{port}: Address already in use"
