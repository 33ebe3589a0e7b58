"""Limits under load: what is too much is turned away in our form, and what was turned away can come back."""

import gzip
import json
import resource
import select
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.service.holding import HOLD, PREDICT, asking, go_on, held
from tests.service.models import FAKE_SERVER
from tests.support.scraping import samples
from tests.support.wire import PATIENCE_S, Answer, Server, exchange, get, post, running, until

BLOCK = 668
TENSOR = {"name": "x", "shape": [1, 3], "datatype": "FP32"}
EVERY = ["mean", "std", "standard_error"]
REFUSED = b'{"error":"too many bytes of requests and answers are being worked on"}'


def test_a_full_queue_answers_429_with_a_time_to_come_back_and_stays_alive() -> None:
    with running(FAKE_SERVER, MCDROP_MAX_QUEUE_UNITS="4") as server, ThreadPoolExecutor(1) as pool:
        with held(server) as running_on:
            waits = pool.submit(post, server, PREDICT, asking(1, 2, 3, rows=4))
            until(lambda: samples(server)["mcdrop_queue_units",] == 4)
            assert get(server, "/healthz").status == 200
            never = post(server, PREDICT, asking(1, 2, 3, rows=5))
            assert (never.status, "may hold 4 rows times blocks" in never.error) == (413, True)
            for _ in range(2):
                refused = post(server, PREDICT, asking(1, 2, 3))
                assert (refused.status, "too much is queued; ask again in" in refused.error) == (429, True)
                assert int(refused.headers["retry-after"]) >= 1
            assert samples(server)["mcdrop_requests_rejected_total", "queue_full"] == 2
        assert [running_on.result().status, waits.result().status] == [200, 200]
        assert post(server, PREDICT, asking(1, 2, 3)).status == 200


def test_files_may_be_open_for_as_many_connections_as_are_let_in_or_the_log_says_so(tmp_path: Path) -> None:
    limited = ("sh", "-c", 'ulimit -Sn 100 && ulimit -Hn 300 && exec "$@"', "sh")
    log = tmp_path / "log"
    with log.open("w") as file, running((*limited, *FAKE_SERVER, "logging"), file) as server:
        assert resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE) == (300, 300)
    assert "1000 connections may be open, and files only 300 (ulimit -n)" in log.read_text()


def test_what_could_not_be_done_in_time_is_refused_at_once() -> None:
    with running(FAKE_SERVER, MCDROP_REQUEST_TIMEOUT_MS="60000") as server:
        slow = (BLOCK, 50, 0)  # four of them are a batch of 200 ms
        assert post(server, PREDICT, asking(*slow, rows=4)).status == 200
        assert post(server, PREDICT, asking(*slow, rows=20, n_samples=1024)).status == 429
        assert post(server, PREDICT, asking(*slow)).status == 200


def test_an_answer_that_is_late_is_given_up_at_the_deadline_of_the_service() -> None:
    with running(FAKE_SERVER, MCDROP_REQUEST_TIMEOUT_MS="200") as server:
        late = post(server, PREDICT, asking(HOLD, 0, 0))
        assert (late.status, late.error) == (504, "the answer was not ready before its deadline")
        more = {"inputs": [{**TENSOR, "data": [HOLD, 0, 0]}], "parameters": {"timeout": 60_000_000}}
        assert post(server, "/v2/models/toy/infer", more).status in {504, 429}
        for _ in range(2):
            go_on(server)
        assert _eventually_answered(server, json.dumps(asking(1, 2, 3)).encode())


def test_bodies_that_take_too_much_together_are_refused() -> None:
    limits = {"MCDROP_MAX_BODY_BYTES_IN_FLIGHT": "1000", "MCDROP_BODY_TIMEOUT_MS": "60000"}
    with running(FAKE_SERVER, **limits) as server:
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 5000\r\n\r\n".encode()
        with socket.create_connection(("127.0.0.1", server.port)) as holding:
            holding.sendall(head + b" " * 900)
            answer = _eventually_refused(server)
            assert "too many bytes of requests" in answer.error
            assert samples(server)["mcdrop_requests_rejected_total", "memory"] >= 1
            at_once = head.replace(b"5000", b"200") + b" " * 200  # in one packet with its head
            assert exchange(server, at_once).status == 429
            packed = post(server, "/v2/models/toy/infer", gzip.compress(b" " * 900), content_encoding="gzip")
            assert (packed.status, "too many bytes of requests" in packed.error) == (429, True)
            alone = post(server, PREDICT, b" " * 1001)
            assert (alone.status, "at most 1000 bytes long" in alone.error) == (413, True)
        small = json.dumps({"inputs": [[1, 2, 3]], "outputs": ["mean"]}).encode()
        assert _eventually_answered(server, small.ljust(1000))


def _eventually_refused(server: Server) -> Answer:
    end_s = time.monotonic() + PATIENCE_S
    while (answer := post(server, PREDICT, b" " * 200 + b"{}")).status != 429:
        assert time.monotonic() < end_s
    return answer


def _eventually_answered(server: Server, body: bytes) -> bool:
    """Whether a body that takes all that there is gets its turn."""
    end_s = time.monotonic() + PATIENCE_S
    while post(server, PREDICT, body).status != 200:
        if time.monotonic() > end_s:
            return False
    return True


def test_a_client_that_never_reads_its_answer_is_cut_off() -> None:
    """The answer is larger than what the kernel buffers, so that the server is left with the rest."""
    limits = {"MCDROP_MAX_REQUEST_UNITS": "100000", "MCDROP_MAX_QUEUE_UNITS": "100000"}
    with running(FAKE_SERVER, MCDROP_WRITE_TIMEOUT_MS="300", **limits) as server:
        rows = b",".join([b"[1.2345678,2.3456789,3.4567891]"] * 80_000)
        body = b'{"n_samples":16,"outputs":["mean","std","standard_error"],"inputs":[' + rows + b"]}"
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
        with socket.socket() as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.connect(("127.0.0.1", server.port))
            connection.sendall(head + body)
            cut = select.poll()
            cut.register(connection, 0)
            assert cut.poll(PATIENCE_S * 1000)
        assert get(server, "/healthz").status == 200


def test_a_long_answer_is_accounted_for_until_it_is_taken() -> None:
    limits = {"MCDROP_MAX_REQUEST_UNITS": "200000", "MCDROP_MAX_QUEUE_UNITS": "200000"}
    with running(FAKE_SERVER, MCDROP_MAX_BODY_BYTES_IN_FLIGHT="12000000", **limits) as server:
        rows = [[1.2345678, 2.3456789, 3.4567891]] * 80_000
        body = json.dumps({"n_samples": 16, "outputs": EVERY, "inputs": rows}).encode()
        with socket.socket() as holding:
            holding.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            holding.connect(("127.0.0.1", server.port))
            head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
            holding.sendall(head + body)
            assert holding.recv(12) == b"HTTP/1.1 200"
            answer = post(server, PREDICT, body)
            assert (answer.status, answer.body[:60]) == (429, REFUSED[:60])
        assert _eventually_answered(server, body)


def test_an_answer_that_will_not_fit_is_refused_before_it_is_made() -> None:
    with running(FAKE_SERVER, MCDROP_MAX_BODY_BYTES_IN_FLIGHT="3000000") as server:
        wanted = {"inputs": [[666, 1, 1]] * 82, "n_samples": 1024, "outputs": ["samples"]}
        answer = post(server, PREDICT, wanted)
        assert answer.status == 413
        assert f"about {82 * 1024 * 3 * 4 * 3} bytes long to a body of" in answer.error
        quantiles = [round(level / 101, 4) for level in range(1, 101)]
        answer = post(server, PREDICT, {**wanted, "outputs": ["mean"], "quantiles": quantiles})
        assert answer.status == 500  # it would fit, and is made
