"""The protocol of a connection, around a small application; hostile clients are in `test_hostile`."""

import asyncio
import gc
import weakref
from typing import Any

from mcdrop_service.settings import Settings
from mcdrop_service.web.protocol import GuardedProtocol
from starlette.types import Receive, Scope, Send
from uvicorn import Config
from uvicorn.server import ServerState

REQUEST = b"POST /a HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\n\r\nab"
ANSWER = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab"


class Sent(asyncio.Transport):
    """Keeps what is sent."""

    def __init__(self) -> None:
        super().__init__()
        self.sent: list[Any] = []
        self.ended = False

    def write(self, data: Any) -> None:
        self.sent.append(data)

    def close(self) -> None:
        self.ended = True

    def is_closing(self) -> bool:
        return self.ended

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
        config = Config(app, lifespan="off", log_config=None)
        config.load()
        protocol, transport = GuardedProtocol(Settings(), config, state := ServerState()), Sent()
        protocol.connection_made(transport)
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
