"""uvicorn's HTTP protocol with guards: limits of time and length, a cap on connections, errors as JSON."""

import asyncio
import socket
import struct
from collections.abc import Callable
from functools import partial
from http import HTTPStatus
from typing import Any, Final, cast

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from mcdrop_service.encoding import encode_error
from mcdrop_service.settings import Settings
from mcdrop_service.web.disconnect import WHEN_GONE

__all__ = ["GuardedProtocol", "guarded_protocol"]

MAX_HEAD_BYTES: Final = 65536
"""Of request line and headers; the parser itself takes any number."""

NOT_HTTP = "the request must be HTTP/1.1, got something else"
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
        self._in_head = False
        self._head_bytes = 0
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
        super().data_received(data)
        self._head_bytes += len(data) if self._in_head else 0
        if self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(400, NOT_HTTP)
        elif not self._idle:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def on_message_begin(self) -> None:
        """A head begins (the parser calls this)."""
        self._in_head, self._head_bytes = True, 0
        super().on_message_begin()
        cast("dict[str, Any]", self.scope)["extensions"] = {WHEN_GONE: self._when_gone}

    def on_headers_complete(self) -> None:
        """A head has ended (the parser calls this)."""
        self._in_head, self._head_bytes = False, 0
        super().on_headers_complete()

    def on_response_complete(self) -> None:
        """An answer was sent; the head behind it may have begun already."""
        super().on_response_complete()
        if self._in_head and self._idle and self._head_timer is None:
            self._start_timer()

    @property
    def _idle(self) -> bool:
        """Whether no request is under way."""
        cycle = cast("RequestResponseCycle | None", self.cycle)
        return cycle is None or (cycle.response_complete and not self.pipeline)

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)
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
        # uvicorn types the cycle as always there, but there is none before the first request
        cycle = cast("RequestResponseCycle | None", self.cycle)
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
