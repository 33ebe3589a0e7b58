"""What leaves the event loop free: work that is large, or may become large."""

import asyncio
import json
import threading
import time
import zlib
from typing import Any, cast

import pytest
from mcdrop_service.errors import TooLargeError
from mcdrop_service.execution import Servable
from mcdrop_service.facts import InferenceRequest, ModelFacts, PredictionAnswer
from mcdrop_service.parsing import MOST_TIMES, RequestLimits, inflated
from mcdrop_service.settings import Settings
from mcdrop_service.web import Service
from mcdrop_service.web.asking import _check_fits, ask, unpacked
from mcdrop_service.web.exchange import EXCHANGE, Exchange
from mcdrop_service.web.memory import MemoryBudget
from mcdrop_service.web.plain_form import PlainForm
from mcdrop_service.web.watch import SERVICE, notes_of
from starlette.requests import Request
from starlette.responses import Response

from tests.service.fake_server import FakeModel
from tests.service.web.test_exchange import Noting

MEBIBYTE = 2**20


@pytest.mark.parametrize(("size", "here"), [(10, True), (MEBIBYTE, False)])
def test_a_small_body_that_may_become_large_is_unpacked_in_a_thread(
    size: int, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: list[threading.Thread] = []

    def noted(*args: Any) -> bytes:
        threads.append(threading.current_thread())
        return inflated(*args)

    monkeypatch.setattr("mcdrop_service.web.asking.inflated", noted)
    plain = b" " * size
    assert asyncio.run(unpacked(zlib.compress(plain, 9), "deflate", MEBIBYTE)) == plain
    assert (threads == [threading.current_thread()]) is here


class NotingPlain(PlainForm):
    """Notes what is done in the event loop."""

    def __init__(self) -> None:
        self.here: dict[str, bool] = {}

    def parse(self, body: bytes, facts: ModelFacts, limits: RequestLimits) -> InferenceRequest:
        self.here["parse"] = threading.current_thread() is threading.main_thread()
        return super().parse(body, facts, limits)

    def encode(self, answer: PredictionAnswer, asked: InferenceRequest) -> Response:
        self.here["encode"] = threading.current_thread() is threading.main_thread()
        return super().encode(answer, asked)


async def asked(rows: int) -> dict[str, bool]:
    """What is done in the event loop of a request for so many rows."""
    service = Service.of({"toy": [cast("Servable", FakeModel(broken=False))]}, Settings())
    await service.engine.start()
    exchange = Exchange(Noting(), wants_body=True, keep_alive=True, wants_continue=False)
    exchange.take(json.dumps({"inputs": [[1, 2, 3]] * rows, "n_samples": 16}).encode())
    exchange.end()
    scope: dict[str, Any] = {
        "type": "http",
        "headers": [],
        "extensions": {EXCHANGE: exchange},
        SERVICE: service,
    }
    notes_of(scope).arrived_s = time.monotonic()
    form = NotingPlain()
    await ask(Request(scope, exchange.receive, exchange.send), service.engine.find("toy"), form)
    service.engine.stop()
    return form.here


@pytest.mark.parametrize(("rows", "here"), [(1, True), (200, False)])
def test_long_requests_and_answers_are_read_and_written_beside_the_event_loop(
    rows: int, here: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcdrop_service.web.asking.LARGE", 500)
    assert asyncio.run(asked(rows)) == {"parse": here, "encode": here}


def test_no_body_becomes_longer_than_is_reckoned_with() -> None:
    bomb = zlib.compress(b"\0" * 16 * MEBIBYTE, 9)
    assert 0.9 < 16 * MEBIBYTE / (MOST_TIMES * len(bomb)) <= 1


def test_an_answer_that_would_never_fit_is_too_large_whoever_else_waits() -> None:
    with MemoryBudget(10).account() as account:
        _check_fits(account, 10, 10)
        account.take(10)
        with pytest.raises(TooLargeError, match="about 11 bytes long to a body of 10, and"):
            _check_fits(account, 10, 11)
    with MemoryBudget(10).account() as account:
        account.take(4)
        with pytest.raises(TooLargeError, match="about 7 bytes long to a body of 4, and all bodies together"):
            _check_fits(account, 10, 7)
