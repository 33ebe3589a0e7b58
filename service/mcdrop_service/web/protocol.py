"""uvicorn's HTTP protocol with guards: limits of time and length, a cap on connections, errors as JSON."""

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mcdrop_service.encoding import encode_error
from mcdrop_service.settings import Settings
from mcdrop_service.web.disconnect import WHEN_GONE
from mcdrop_service.web.joined import Joined

__all__ = ["GuardedProtocol", "guarded_protocol"]

MAX_HEAD_BYTES: Final = 65536
"""Of request line and headers, and of what else is no body: the parser itself takes any number."""

NOT_HTTP = "the request must be HTTP/1.1, got something else"
TOO_LONG = f"the head of a request may be at most {MAX_HEAD_BYTES} bytes long, got more"
TOO_SLOW = "the head of the request must arrive within {} ms, and did not"
TOO_MANY = "at most {} connections may be open at once"


def guarded_protocol(settings: Settings) -> type[asyncio.Protocol]:
    """What `uvicorn.Config(http=...)` takes, with the limits of these settings.

    Args:
        settings: Time for the head of a request, and most connections.

    Returns:
        A factory of protocols; uvicorn calls it once per connection.
    """
    return cast("type[asyncio.Protocol]", partial(GuardedProtocol, settings))


class GuardedProtocol(HttpToolsProtocol):
    """A connection whose client must say what it wants, in time.

    Args:
        settings: The limits.
        **uvicorns: What uvicorn gives to each of its protocols.
    """

    def __init__(self, settings: Settings, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._settings = settings
        self._when_gone: set[Callable[[], object]] = set()
        self._running: RequestResponseCycle | None = None
        self._in_head = False
        self._bytes_of_no_body = 0
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, or turn it away."""
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # any byte that the client has not taken starts the clock
        if len(self.connections) > self._settings.max_connections:
            self._refuse(503, TOO_MANY.format(self._settings.max_connections))
        else:
            self._start_timer()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the timer runs while they are the beginning of a head, or belong to no request."""
        self._unset_keepalive_if_required()
        self._bytes_of_no_body += len(data)
        self._parse(data)
        if self._bytes_of_no_body > MAX_HEAD_BYTES:
            self._refuse(400, TOO_LONG)
        elif not self._idle:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def _parse(self, data: bytes) -> None:
        """Let the parser see bytes; no connection becomes one of another protocol."""
        rest = memoryview(data)
        while rest:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as upgrade:
                rest = rest[upgrade.args[0] :]
                self._begin_without_upgrade()
            except httptools.HttpParserError:
                self.send_400_response("")
                return
            else:
                return

    def _begin_without_upgrade(self) -> None:
        """Give the head to a new parser without the wish for another protocol.

        The parser takes a body behind such a head for the other protocol, and uvicorn for the next request.
        Java's client and `curl --http2` have that wish, and a body.
        """
        line = b"%b %b HTTP/%b\r\n" % (
            self.parser.get_method(),
            self.url,
            self.parser.get_http_version().encode(),
        )
        fields = [b"%b: %b\r\n" % field for field in self.headers if field[0] != b"upgrade"]
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn's
        self.parser.feed_data(b"".join([line, *fields, b"\r\n"]))

    def on_message_begin(self) -> None:
        """A head begins (the parser calls this)."""
        self._in_head, self._bytes_of_no_body = True, 0
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {WHEN_GONE: self._when_gone}

    def on_headers_complete(self) -> None:
        """A head has ended (the parser calls this)."""
        self._in_head, self._bytes_of_no_body = False, 0
        if self.parser.get_method() == b"CONNECT":
            raise httptools.HttpParserError
        if not self.parser.should_upgrade():
            super().on_headers_complete()
            self.headers = []  # fields behind the body land here, else they would be taken for the head's

    def on_body(self, body: bytes) -> None:
        """Some of a body has come (the parser calls this)."""
        self._bytes_of_no_body = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has ended (the parser calls this)."""
        self._bytes_of_no_body = 0
        if not self.parser.should_upgrade():
            super().on_message_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._running = cycle
        self._joined = Joined(self.transport)
        cycle.transport = cast("asyncio.Transport", self._joined)
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """An answer was sent; the head behind it may have begun already."""
        self._joined.flush()
        super().on_response_complete()
        if self._in_head and self._idle and self._head_timer is None:
            self._start_timer()

    @property
    def _idle(self) -> bool:
        """Whether no request is under way."""
        # uvicorn types the cycle as always there, but there is none before the first request
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or (cycle.response_complete and not self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)
        if self._running is not None:  # uvicorn tells only the last request of a connection
            self._running.disconnected = True
            self._running.message_event.set()
        for act in tuple(self._when_gone):
            act()

    def pause_writing(self) -> None:
        """The client does not take its answer; the connection is cut if that lasts."""
        super().pause_writing()
        delay_s = self._settings.write_timeout_ms / 1000
        self._write_timer = self.loop.call_later(delay_s, self._cut)

    def resume_writing(self) -> None:
        """The client has taken everything."""
        self._stop_write_timer()
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002  uvicorn's words, not ours
        """Refuse what is not HTTP."""
        self._refuse(400, NOT_HTTP)

    def _start_timer(self) -> None:
        delay_s = self._settings.header_timeout_ms / 1000
        self._head_timer = self.loop.call_later(delay_s, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _cut(self) -> None:
        """Reset the connection: a plain close would leave the kernel with what the client does not take."""
        raw = self.transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.transport.abort()

    def _give_up(self) -> None:
        self._refuse(408, TOO_SLOW.format(self._settings.header_timeout_ms))

    def _refuse(self, status: int, message: str) -> None:
        self._stop_timer()
        cycle = self._running
        answering = cycle is not None and cycle.response_started and not cycle.response_complete
        if not answering and not self.transport.is_closing():
            self.transport.write(_raw_response(status, message))
        self.transport.close()


def _raw_response(status: int, message: str) -> bytes:
    """A whole response, for where there is no request that could be answered."""
    body = encode_error(message)
    head = (
        f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
    )
    return head.encode() + body
