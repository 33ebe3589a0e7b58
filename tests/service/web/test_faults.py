"""Faults of the model and of the worker: the right status, mates unharmed, readiness honest (R7)."""

import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

import fastjsonschema
import pytest

from tests.service.holding import PREDICT, asking, go_on, held
from tests.service.models import FAKE_SERVER
from tests.support.scraping import samples
from tests.support.wire import PATIENCE_S, Answer, Server, get, post, running, until

RAISE, NOTHING, MEMORY, EXIT, BREAK = 666, 670, 671, 672, 673


def ask(server: Server, *row: float) -> Answer:
    return post(server, PREDICT, asking(*row))


def until_it_is(server: Server, state: str) -> Answer:
    """The first answer of `/readyz` that names a state."""
    limit = time.monotonic() + PATIENCE_S
    while (answer := get(server, "/readyz")).document["state"] != state:
        assert time.monotonic() < limit, answer.document
    return answer


@pytest.mark.parametrize("command", [RAISE, NOTHING, MEMORY, EXIT])
def test_whatever_a_model_does_on_a_request_harms_that_request_only(server: Server, command: int) -> None:
    rows = [(command, 0, 0) if index == 2 else (index, 1, 2) for index in range(6)]
    with ThreadPoolExecutor(8) as pool:
        with held(server):  # so that they wait, and share a batch
            asked = [pool.submit(ask, server, *row) for row in rows]
            until(lambda: samples(server)["mcdrop_queue_units",] == 6)
        answers = [each.result() for each in asked]
    assert [answer.status for answer in answers] == [200, 200, 500, 200, 200, 200]
    assert answers[2].error == "the model toy failed on this request"
    assert [answer.document["outputs"]["mean"] for answer in answers[3:]] == [
        [[2.0 * index, 2.0, 4.0]] for index in (3, 4, 5)
    ]


def test_requests_that_are_at_fault_themselves_never_make_a_model_unready(server: Server) -> None:
    assert [ask(server, RAISE, 0, 0).status for _ in range(5)] == [500] * 5
    assert get(server, "/readyz").status == 200


def test_an_answer_between_them_wipes_the_failures_of_a_model_out(server: Server) -> None:
    for _ in range(3):
        assert ask(server, BREAK, 2, 0).status == 500  # and zeros fail after it
        assert ask(server, 1, 2, 3).status == 200
    assert get(server, "/readyz").status == 200


def test_requests_that_fail_together_are_not_counted_once_more(server: Server) -> None:
    with ThreadPoolExecutor(2) as pool:
        with held(server):
            asked = [pool.submit(ask, server, *row) for row in ((BREAK, 6, 0), (1, 2, 3))]
            until(lambda: samples(server)["mcdrop_queue_units",] == 2)
        assert [each.result().status for each in asked] == [500, 500]
    # their batch failed, then each of them, and zeros after it, which is two strikes: one failure is left
    assert [ask(server, 1, 2, 3).status for _ in range(2)] == [500, 200]


def test_a_model_that_fails_three_times_on_zeros_too_is_not_ready_until_it_answers_again(
    server: Server,
) -> None:
    assert [ask(server, BREAK, 0, 0).status for _ in range(3)] == [500] * 3
    refused = ask(server, 1, 2, 3)
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert refused.error == "the model toy failed several times in a row, and is tried again soon"
    assert until_it_is(server, "failing").status == 503
    pages = get(server, "/openapi.json").document["paths"]
    for page in ("/readyz", "/v2/health/ready", "/v2/models/{name}/ready"):
        answer = get(server, page.format(name="toy"))
        told = pages[page]["get"]["responses"][str(answer.status)]["content"]["application/json"]["schema"]
        fastjsonschema.validate(told, answer.document)
        assert (answer.status, answer.document["ready"]) == (503, False)
    assert b'mcdrop_model_ready{model="toy",version="1"} 0.0' in get(server, "/metrics").body
    (entry,) = post(server, "/v2/repository/index", b"").document
    assert (entry["state"], entry["reason"]) == ("UNAVAILABLE", "failing")
    assert get(server, "/healthz").status == 200
    go_on(server)
    assert until_it_is(server, "ready").status == 200
    assert ask(server, 1, 2, 3).status == 200


def test_readiness_is_off_while_the_worker_hangs_in_a_step() -> None:
    with running(FAKE_SERVER, MCDROP_STALL_TIMEOUT_MS="200") as server:
        with held(server) as hanging:
            assert until_it_is(server, "stalled").status == 503
            assert get(server, "/v2/models/toy/ready").status == 503
            assert b"mcdrop_worker_up 0.0" in get(server, "/metrics").body
            assert get(server, "/healthz").status == 200
        assert hanging.result().status == 200
        assert until_it_is(server, "ready").status == 200
        assert b"mcdrop_worker_up 1.0" in get(server, "/metrics").body


def test_a_worker_that_dies_answers_whoever_waits_and_ends_the_process() -> None:
    with running([*FAKE_SERVER, "logging", "mortal"], subprocess.PIPE) as server:
        answer = ask(server, 1, 2, 3)
        assert answer.status == 500
        assert server.process.wait(PATIENCE_S) not in {0, -signal.SIGABRT}
        _, log = server.process.communicate()
        assert "the worker died" in log
        assert log.endswith("the worker died; the log says why\n")
