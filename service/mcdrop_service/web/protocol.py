"""uvicorn's HTTP protocol with guards: time limits, a cap on connections, errors as JSON."""

import asyncio
import socket
import struct
from functools import partial
from typing import Any, cast

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

from mcdrop_service.encoding import encode_error
from mcdrop_service.settings import Settings

__all__ = ["GuardedProtocol", "guarded_protocol"]

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


class GuardedProtocol(H11Protocol):
    """A connection whose client must say what it wants, in time.

    Args:
        settings: The limits.
        **uvicorns: What uvicorn gives to each of its protocols.
    """

    def __init__(self, settings: Settings, **uvicorns: Any) -> None:
        super().__init__(**uvicorns)
        self._settings = settings
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
        """Take bytes; the timer runs while they are the beginning of a head."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget the connection."""
        self._stop_timer()
        self._stop_write_timer()
        super().connection_lost(exc)

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
        answering = cycle is not None and cycle.response_started
        if not answering and not self.transport.is_closing():
            self.transport.write(_raw_response(status, message))
        self.transport.close()


def _raw_response(status: int, message: str) -> bytes:
    """A whole response, written past the connection's own h11, which may be in its error state already."""
    body = encode_error(message)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    head = h11.Connection(h11.SERVER).send(h11.Response(status_code=status, headers=headers))
    return (head or b"") + body
