"""Faults of the model and of the worker: the right status, mates unharmed, readiness honest (R7)."""

import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import fastjsonschema
import pytest

from tests.service.models import FAKE_SERVER
from tests.support.scraping import until_busy
from tests.support.wire import PATIENCE_S, Answer, Server, exchange, get, post, running

PREDICT = "/v1/models/toy/predict"
RAISE, BLOCK, NOTHING, MEMORY, EXIT, BREAK = 666, 668, 670, 671, 672, 673


@pytest.fixture(scope="module")
def frail() -> Iterator[Server]:
    """A server that takes a step of 300 ms for one that hangs, and waits as long for a body."""
    limits = {"MCDROP_STALL_TIMEOUT_MS": "300", "MCDROP_BODY_TIMEOUT_MS": "300"}
    with running(FAKE_SERVER, **limits) as started:
        yield started


def ask(server: Server, *row: float) -> Answer:
    return post(server, PREDICT, {"inputs": [row], "outputs": ["mean"], "n_samples": 16})


def until(server: Server, state: str) -> Answer:
    """The first answer of `/readyz` that names a state."""
    limit = time.monotonic() + PATIENCE_S
    while (answer := get(server, "/readyz")).document["state"] != state:
        assert time.monotonic() < limit, answer.document
    return answer


def test_a_body_that_stops_halfway_is_waited_for_no_longer_than_for_bodies(frail: Server) -> None:
    began_s = time.monotonic()
    answer = exchange(frail, f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: 9\r\n\r\n{{".encode())
    assert (answer.status, time.monotonic() < began_s + 15) == (408, True)  # a whole request may take 30 s


@pytest.mark.parametrize("command", [RAISE, NOTHING, MEMORY, EXIT])
def test_whatever_a_model_does_on_a_request_harms_that_request_only(frail: Server, command: int) -> None:
    with ThreadPoolExecutor(8) as pool:
        block = pool.submit(ask, frail, BLOCK, 100, 0)  # so that the others wait, and share a batch
        rows = [(command, 0, 0) if index == 2 else (index, 1, 2) for index in range(6)]
        answers = list(pool.map(lambda row: ask(frail, *row), rows))
        assert block.result().status == 200
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 200, 200]
    assert answers[2].error == "the model toy failed on this request"
    assert [answer.document["outputs"]["mean"] for answer in answers[3:]] == [
        [[2.0 * index, 2.0, 4.0]] for index in (3, 4, 5)
    ]


def test_requests_that_are_at_fault_themselves_never_make_a_model_unready(frail: Server) -> None:
    assert [ask(frail, RAISE, 0, 0).status for _ in range(5)] == [500] * 5
    assert get(frail, "/readyz").status == 200


def test_an_answer_between_them_wipes_the_failures_of_a_model_out(frail: Server) -> None:
    for _ in range(3):
        assert ask(frail, BREAK, 2, 0).status == 500  # and zeros fail after it
        assert ask(frail, 1, 2, 3).status == 200
    assert get(frail, "/readyz").status == 200


def test_requests_that_fail_together_are_not_counted_once_more(frail: Server) -> None:
    with ThreadPoolExecutor(3) as pool:
        pool.submit(ask, frail, BLOCK, 300, 0)
        until_busy(frail)
        asked = [pool.submit(ask, frail, *row) for row in ((BREAK, 6, 0), (1, 2, 3))]
        assert [each.result().status for each in asked] == [500, 500]
    # their batch failed, then each of them, and zeros after it, which is two strikes: one failure is left
    assert [ask(frail, 1, 2, 3).status for _ in range(2)] == [500, 200]


def test_a_model_that_fails_three_times_on_zeros_too_is_not_ready_until_it_answers_again(
    frail: Server,
) -> None:
    # each of three requests fails, and zeros after it; then zeros fail once more, and from then on nothing
    assert [ask(frail, BREAK, 7, 0).status for _ in range(3)] == [500] * 3
    refused = ask(frail, 1, 2, 3)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.error == "the model toy failed several times in a row, and is tried again soon"
    assert until(frail, "failing").status == 503
    pages = get(frail, "/openapi.json").document["paths"]
    for page in ("/readyz", "/v2/health/ready", "/v2/models/{name}/ready"):
        answer = get(frail, page.format(name="toy"))
        told = pages[page]["get"]["responses"][str(answer.status)]["content"]["application/json"]["schema"]
        fastjsonschema.validate(told, answer.document)
        assert (answer.status, answer.document["ready"]) == (503, False)
    assert b'mcdrop_model_ready{model="toy",version="1"} 0.0' in get(frail, "/metrics").body
    (entry,) = post(frail, "/v2/repository/index", b"").document
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "failing")
    assert get(frail, "/healthz").status == 200
    assert until(frail, "ready").status == 200
    assert ask(frail, 1, 2, 3).status == 200


def test_readiness_is_off_while_the_worker_hangs_in_a_step(frail: Server) -> None:
    with ThreadPoolExecutor(1) as pool:
        hanging = pool.submit(ask, frail, BLOCK, 1500, 0)
        assert until(frail, "stalled").status == 503
        assert get(frail, "/v2/models/toy/ready").status == 503
        assert b"mcdrop_worker_up 0.0" in get(frail, "/metrics").body
        assert get(frail, "/healthz").status == 200
        assert hanging.result().status == 200
    assert until(frail, "ready").status == 200
    assert b"mcdrop_worker_up 1.0" in get(frail, "/metrics").body


def test_a_worker_that_dies_answers_whoever_waits_and_ends_the_process() -> None:
    with running([*FAKE_SERVER, "logging", "mortal"], subprocess.PIPE) as server:
        answer = ask(server, 1, 2, 3)
        assert answer.status == 500
        assert server.process.wait(PATIENCE_S) not in {0, -signal.SIGABRT}
        _, log = server.process.communicate()
        assert "the worker died" in log
        assert log.endswith("the worker died; the log says why\n")
