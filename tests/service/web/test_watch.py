"""What an operator sees of each request: metrics, a line in the log, and an id that joins them."""

import fcntl
import json
import os
import re
import signal
from pathlib import Path

import pytest

from tests.service.holding import HOLD, PREDICT, asking, holding
from tests.service.models import FAKE_SERVER
from tests.support.scraping import changes, samples
from tests.support.wire import PATIENCE_S, Server, connected, get, post, running, until

TRACE = "0af7651916cd43dd8448eb211c80319c"


def test_an_answer_is_counted_with_its_rows_samples_and_times(server: Server) -> None:
    before = samples(server)
    post(server, PREDICT, {"inputs": [[1, 2, 3], [4, 5, 6]], "n_samples": 32})
    counted = changes(before, samples(server))
    assert counted["mcdrop_requests_total", "200", "toy", "1"] == 1
    assert counted["mcdrop_rows_total", "toy", "1"] == 2
    assert counted["mcdrop_samples_total", "toy", "1"] == 64
    assert counted["mcdrop_blocks_total", "toy", "1"] == 1
    assert counted["mcdrop_block_fill_ratio_sum", "toy", "1"] == 1
    for name in ("request", "queue", "compute", "parse"):
        assert counted[f"mcdrop_{name}_seconds_count", "toy", "1"] == 1
    assert counted["mcdrop_predictive_std_count", "toy", "1"] == 6
    assert counted["mcdrop_predictive_std_sum", "toy", "1"] == 42


def test_the_state_of_the_moment_is_told(server: Server) -> None:
    found = samples(server)
    assert found["mcdrop_model_ready", "toy", "1"] == 1
    assert found["mcdrop_model_loads_total", "toy", "failure"] == 0
    assert found["mcdrop_model_info", "sha256:00", "0123456789abcdef", "toy", "1"] == 1
    assert found["mcdrop_queue_units",] == 0
    assert found["mcdrop_inflight_requests",] == 1


def test_what_is_turned_away_is_counted_by_reason(server: Server) -> None:
    before = samples(server)
    assert post(server, PREDICT, {"inputs": [[1, 2, 3]] * 60}).status == 413
    assert post(server, PREDICT, {"inputs": []}).status == 400
    assert get(server, "/v1/models/none").status == 404
    counted = changes(before, samples(server))
    assert counted["mcdrop_requests_rejected_total", "too_large"] == 1
    assert counted["mcdrop_requests_total", "400", "toy", "1"] == 1
    assert counted["mcdrop_requests_total", "404", "", ""] == 1


def test_a_client_that_goes_away_is_counted_and_not_as_an_error(server: Server) -> None:
    before = samples(server)
    with connected(server) as connection:
        body = json.dumps(asking(HOLD, 0, 0)).encode()
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n"
        connection.sendall(head.encode() + body)
        with holding(server):
            assert changes(before, samples(server))["mcdrop_inflight_requests",] == 1
            connection.close()
            key = ("mcdrop_requests_total", "499", "toy", "1")
            until(lambda: changes(before, samples(server)).get(key) == 1)
    counted = changes(before, samples(server))
    assert counted["mcdrop_requests_cancelled_total", "running"] == 1
    assert counted["mcdrop_inflight_requests",] == 0


def test_every_answer_has_an_id(server: Server) -> None:
    ids = {get(server, "/healthz").headers["x-request-id"] for _ in range(3)}
    assert len(ids) == 3
    assert all(re.fullmatch("[0-9a-f]{32}", each) for each in ids)


@pytest.mark.parametrize(("version", "more"), [("00", ""), ("cc", ""), ("cc", "-what-later-versions-add")])
def test_the_id_is_that_of_the_trace_that_a_request_belongs_to(
    server: Server, version: str, more: str
) -> None:
    answer = get(server, "/none", traceparent=f"{version}-{TRACE}-b7ad6b7169203331-01{more}")
    assert (answer.status, answer.headers["x-request-id"]) == (404, TRACE)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "00",
        f"ff-{TRACE}-b7ad6b7169203331-01",
        f"00-{'0' * 32}-b7ad6b7169203331-01",
        f"00-{TRACE.upper()}-b7ad6b7169203331-01",
        f"00-{TRACE}x-b7ad6b7169203331-01",
    ],
)
def test_a_trace_that_is_none_is_passed_over(server: Server, value: str) -> None:
    assert get(server, "/healthz", traceparent=value).headers["x-request-id"] != TRACE


def test_the_log_has_a_line_of_json_for_each_request_and_for_its_failure(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("w") as file, running((*FAKE_SERVER, "logging"), file) as server:
        post(server, PREDICT, {"inputs": [[1, 2, 3]]}, traceparent=f"00-{TRACE}-b7ad6b7169203331-01")
        failed = post(server, PREDICT, {"inputs": [[666, 0, 0]]}).headers["x-request-id"]
        refused = post(server, PREDICT, {"inputs": [[1]]}).headers["x-request-id"]
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    (answered,) = [line for line in lines if line.get("request_id") == TRACE]
    assert {
        name: answered[name] for name in ("level", "status", "model", "version", "rows", "n_samples")
    } == {
        "level": "info",
        "status": 200,
        "model": "toy",
        "version": "1",
        "rows": 1,
        "n_samples": 32,
    }
    assert 0 <= answered["queued_ms"] < answered["ms"]
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", answered["time"])
    assert any(failed in line["message"] for line in lines)
    assert "error" not in answered
    (told,) = [line for line in lines if line.get("request_id") == refused]
    assert (told["status"], told["error"]) == (400, "x must be (N, 3), got shape (1, 1)")
    assert any("secret" in line.get("exception", "") for line in lines)


def test_a_log_of_warnings_has_no_line_for_each_request_but_tells_of_faults(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with (
        log.open("w") as file,
        running((*FAKE_SERVER, "logging"), file, MCDROP_LOG_LEVEL="warning") as server,
    ):
        for command in (1, 666):
            post(server, PREDICT, {"inputs": [[command, 2, 3]]})
    levels = {json.loads(line)["level"] for line in log.read_text().splitlines()}
    assert levels == {"warning", "error"}


def test_a_log_that_cannot_be_written_fails_no_request() -> None:
    with Path("/dev/full").open("w") as full, running((*FAKE_SERVER, "logging"), full) as server:
        assert post(server, PREDICT, {"inputs": [[1, 2, 3]]}).status == 200
        assert post(server, PREDICT, {"inputs": [[666, 0, 0]]}).status == 500


def test_a_log_that_nobody_reads_holds_up_no_request_and_no_stop() -> None:
    reads, writes = os.pipe()
    fcntl.fcntl(writes, fcntl.F_SETPIPE_SZ, 4096)
    with (
        os.fdopen(writes, "w") as unread,
        running((*FAKE_SERVER, "logging"), unread, MCDROP_DRAIN_DELAY_MS="0") as server,
    ):
        for _ in range(50):
            assert get(server, "/healthz").status == 200
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(PATIENCE_S) == 0
    with os.fdopen(reads) as log:
        assert json.loads(log.readline())["message"] == "ready"
