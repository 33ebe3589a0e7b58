"""The protocol of a connection, around a small application; hostile clients are in `test_hostile`."""

import asyncio
import gc
import weakref
from types import SimpleNamespace
from typing import Any

import pytest
from mcdrop_service.settings import Settings
from mcdrop_service.web.protocol import MAX_WAITING, MAX_WAITING_BYTES, TOO_LONG, GuardedProtocol
from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

from tests.support.wire import PATIENCE_S

REQUEST = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"


class Sent(asyncio.Transport):
    """Keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self.ended = False
        self.reads = True

    def write(self, data: Any) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

    def pause_reading(self) -> None:
        self.reads = False

    def resume_reading(self) -> None:
        self.reads = True

    def abort(self) -> None:
        self.ended = True

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return SimpleNamespace(setsockopt=lambda *_: None) if name == "socket" else default

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        assert (high, low) == (0, None)


class Marked:
    """Can be looked for."""


def test_what_was_asked_is_forgotten_with_its_answer_and_a_connection_with_its_end() -> None:
    """Without a collection of garbage: an answer can be large."""
    marks: list[weakref.ref[object]] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        scope["mark"] = Marked()
        marks.append(weakref.ref(scope["mark"]))
        came = (await receive())["body"]
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"content-length", b"%d" % len(came))],
            }
        )
        await send({"type": "http.response.body", "body": came})

    async def main() -> None:
        protocol, transport, state = connection(app, Settings())
        for number in range(3):
            protocol.data_received(REQUEST)
            await asyncio.gather(*state.tasks)
            await asyncio.sleep(0)
            assert transport.sent == [ANSWER] * (number + 1)
        assert [mark() for mark in marks] == [None] * 3
        protocol.connection_lost(None)
        assert not state.connections
        mark = weakref.ref(protocol)
        del protocol
        await asyncio.sleep(0)
        assert mark() is None

    gc.collect()
    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()


def connection(app: ASGIApp, settings: Settings, **more: Any) -> tuple[GuardedProtocol, Sent, ServerState]:
    config = Config(app, lifespan="off", log_config=None)
    config.load()
    protocol, transport = GuardedProtocol(settings, config, state := ServerState(), **more), Sent()
    protocol.connection_made(transport)
    return protocol, transport, state


async def asked(app: ASGIApp, raw: bytes) -> list[Any]:
    """What an application sends to a client that sends this."""
    protocol, transport, state = connection(app, Settings())
    protocol.data_received(raw)
    while state.tasks:
        await asyncio.gather(*state.tasks)
    protocol.connection_lost(None)
    return transport.sent


def test_a_failure_behind_an_answer_harms_not_the_next(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, receive: Receive, send: Send) -> None:
        came = (await receive())["body"]
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": came})
        raise RuntimeError("too late")

    assert asyncio.run(asked(app, REQUEST * 2)) == [ANSWER] * 2
    assert [record.message for record in caplog.records] == ["an answer failed"] * 2


def test_a_failure_is_told_while_nothing_of_the_answer_was_sent(caplog: pytest.LogCaptureFixture) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x", b"a\r\nb: c")]})

    (answer,) = asyncio.run(asked(app, REQUEST))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert "more than one line" in caplog.text


async def echo(_scope: Scope, receive: Receive, send: Send) -> None:
    came = await receive()
    assert not came["more_body"]
    length = (b"content-length", b"%d" % len(came["body"]))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": came["body"]})


def test_a_client_that_sends_very_many_requests_ahead_is_told_which_is_the_last_answered() -> None:
    answers = asyncio.run(asked(echo, REQUEST * 5000))
    assert answers[:-1] == [ANSWER] * MAX_WAITING
    assert answers[-1] == ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize("requests", [1, 2])
def test_the_last_of_what_came_before_the_signal_to_stop_ends_its_connection(requests: int) -> None:
    stopping: list[bool] = []

    async def main() -> list[Any]:
        protocol, transport, state = connection(echo, Settings(), is_stopping=lambda: bool(stopping))
        protocol.data_received(REQUEST * requests)
        stopping.append(True)
        while state.tasks:
            await asyncio.gather(*state.tasks)
        assert transport.ended
        protocol.connection_lost(None)
        return transport.sent

    last = ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")
    assert asyncio.run(main()) == [ANSWER] * (requests - 1) + [last]


def test_no_more_of_a_body_is_read_than_the_application_takes() -> None:
    async def main() -> None:
        wants = asyncio.Event()

        async def app(_scope: Scope, receive: Receive, _send: Send) -> None:
            await wants.wait()
            await receive()

        protocol, transport, _ = connection(app, Settings())
        protocol.data_received(b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n")
        protocol.data_received(b"z" * MAX_WAITING_BYTES)
        before = transport.reads
        protocol.data_received(b"z")
        assert (before, transport.reads) == (True, False)
        wants.set()
        while not transport.reads:
            await asyncio.sleep(0)
        protocol.connection_lost(None)

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_a_client_that_takes_its_answer_in_the_end_is_not_cut_off() -> None:
    async def main() -> tuple[bool, bool]:
        protocol, transport, _ = connection(echo, Settings(write_timeout_ms=10))
        protocol.pause_writing()
        protocol.resume_writing()
        await asyncio.sleep(0.03)
        taken = transport.ended
        protocol.pause_writing()
        await asyncio.sleep(0.03)
        cut = transport.ended
        protocol.connection_lost(None)
        return taken, cut

    assert asyncio.run(main()) == (False, True)


@pytest.mark.parametrize(
    ("behind", "at_once"),
    [(REQUEST[:20], True), (REQUEST[:20], False), (b"\r\n", False)],
    ids=["a head", "a head later", "of no request"],
)
def test_what_begins_behind_a_request_is_given_up_in_time_too(behind: bytes, at_once: bool) -> None:
    async def main() -> list[Any]:
        protocol, transport, state = connection(echo, Settings(header_timeout_ms=10))
        protocol.data_received(REQUEST + behind * at_once)
        await asyncio.gather(*state.tasks)
        if not at_once:
            protocol.data_received(behind)
        while not transport.ended:
            await asyncio.sleep(0.001)
        protocol.connection_lost(None)
        return transport.sent

    first, second = asyncio.run(asyncio.wait_for(main(), PATIENCE_S))
    assert (first, second[:12]) == (ANSWER, b"HTTP/1.1 408")


@pytest.mark.parametrize("behind", [REQUEST, REQUEST[:-1], b"GET\r\n\r\n"], ids=["whole", "begun", "no HTTP"])
def test_what_comes_behind_the_last_request_changes_nothing_of_its_answer(behind: bytes) -> None:
    last = REQUEST.replace(b"host: x", b"connection: close")
    (answer,) = asyncio.run(asked(echo, last + behind))
    assert answer == ANSWER.replace(b"\r\n\r\n", b"\r\nconnection: close\r\n\r\n")


@pytest.mark.parametrize(("length", "refused"), [(60_000, False), (70_000, True)])
def test_the_limit_of_a_head_holds_for_one_that_comes_at_once_with_a_long_body(
    length: int, *, refused: bool
) -> None:
    async def app(_scope: Scope, _receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"0")]})
        await send({"type": "http.response.body"})

    raw = b"POST /a HTTP/1.1\r\nx: %b\r\ncontent-length: 100000\r\n\r\n%b" % (b"y" * length, b"z" * 100_000)
    (answer,) = asyncio.run(asked(app, raw))
    assert answer.startswith(b"HTTP/1.1 400" if refused else b"HTTP/1.1 200")
    assert (TOO_LONG.encode() in answer) is refused
