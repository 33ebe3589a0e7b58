"""HTTP/1.1 on one connection, with guards: limits of time and length, a cap on connections, errors as JSON.

uvicorn runs the server; its own protocols make an event, a timer and several layers of calls for each
request, which took as long as parsing it.
"""

import asyncio
import logging
import socket
import struct
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Final, cast

import httptools
from starlette.types import Scope
from uvicorn import Config
from uvicorn.server import ServerState

from mcdrop_service.settings import Settings
from mcdrop_service.web.exchange import EXCHANGE, Exchange
from mcdrop_service.web.heads import Headers, scope_of, whole_answer, without_upgrade

__all__ = ["GuardedProtocol", "guarded_protocol"]

logger = logging.getLogger("mcdrop_service")

MAX_HEAD_BYTES: Final = 65536
"""Of request line and headers, and of what else is no body: the parser itself takes any number."""
MAX_WAITING: Final = 1000
"""Of requests on one connection; the last of them is the last that is answered, and says so."""
MAX_WAITING_BYTES: Final = 65536
"""Of a body that the application does not take."""
SHORT: Final = 65536
"""Bytes of a body that are copied behind their head, which is faster than to send both by one call."""

NOT_HTTP = "the request must be HTTP/1.1, got something else"
TOO_LONG = f"the head of a request may be at most {MAX_HEAD_BYTES} bytes long, got more"
TOO_SLOW = "the head of the request must arrive within {} ms, and did not"
FAILED = "internal error; the service's log has it"
TOO_MANY = "at most {} connections may be open at once"


def guarded_protocol(
    settings: Settings, on_refused: Callable[[], None], is_stopping: Callable[[], bool]
) -> type[asyncio.Protocol]:
    """What `uvicorn.Config(http=...)` takes, with the limits of these settings.

    Args:
        settings: Time for the head of a request, and most connections.
        on_refused: Called for each connection beyond these.
        is_stopping: Whether answers are the last on their connections: clients go elsewhere before the port
            closes, and not in the middle of what they ask next.

    Returns:
        A factory of protocols; uvicorn calls it once per connection.
    """
    return cast(
        "type[asyncio.Protocol]",
        partial(GuardedProtocol, settings, on_refused=on_refused, is_stopping=is_stopping),
    )


class _HeadTooLongError(Exception):
    """Ends the parser, which tells it as the context of its own error."""


class GuardedProtocol(asyncio.Protocol):
    """A connection whose client must say what it wants, in time.

    Args:
        settings: The limits.
        config: Of uvicorn, with the application.
        server_state: Of uvicorn: what its server waits for when it stops.
        on_refused: Called if there are too many connections.
        is_stopping: Whether the last answer on a connection ends it.
        **_uvicorns: What else uvicorn gives to each of its protocols.
    """

    def __init__(
        self,
        settings: Settings,
        config: Config,
        server_state: ServerState,
        *,
        on_refused: Callable[[], None] = lambda: None,
        is_stopping: Callable[[], bool] = lambda: False,
        **_uvicorns: Any,
    ) -> None:
        self._on_refused = on_refused
        self._is_stopping = is_stopping
        self._settings = settings
        self._app = config.loaded_app
        self._state = server_state
        self._loop = asyncio.get_running_loop()
        self._parser = self._new_parser()
        self._transport: asyncio.Transport
        self._addresses: dict[str, Any] = {}
        self._url = b""
        self._headers: list[tuple[bytes, bytes]] = []
        self._wants_continue = False
        self._in_head = False
        self._bytes_of_no_body = 0
        self._latest: Exchange | None = None
        self._running: Exchange | None = None
        self._waiting: deque[tuple[Exchange, Scope]] = deque()
        self._fault = ""
        self._reads = True
        self.clogged: asyncio.Future[None] | None = None
        self._idle_since_s = 0.0
        self._idle_timer: asyncio.TimerHandle | None = None
        self._head_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    # what the event loop calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take a connection, or turn it away."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.add(self)
        # any byte that the client has not taken starts the clock
        self._transport.set_write_buffer_limits(high=0)
        names = {"server": "sockname", "client": "peername"}
        self._addresses = {key: _address(transport.get_extra_info(name)) for key, name in names.items()}
        if len(self._connections) > self._settings.max_connections:
            self._on_refused()
            self._refuse(503, TOO_MANY.format(self._settings.max_connections))
        else:
            self._start_timer()
            self._close_if_idle()

    def data_received(self, data: bytes) -> None:
        """Take bytes; the timer runs while they are the beginning of a head, or belong to no request."""
        self._bytes_of_no_body += len(data)
        self._parse(data)
        if self._bytes_of_no_body > MAX_HEAD_BYTES:
            self._refuse_in_turn(TOO_LONG)
        elif self._running is not None:
            self._stop_timer()
        elif self._head_timer is None:
            self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        """Forget the connection."""
        self._connections.discard(self)
        self._stop_timer()
        self.resume_writing()
        if self._idle_timer is not None:
            self._idle_timer.cancel()
        self._waiting.clear()
        if self._running is not None:
            self._running.leave()
        self._latest = self._running = None
        del self._parser  # it holds this connection, which holds it

    def pause_writing(self) -> None:
        """The client does not take its answer; the connection is cut if that lasts."""
        self.clogged = self._loop.create_future()
        self._write_timer = self._loop.call_later(self._settings.write_timeout_ms / 1000, self._cut)

    def resume_writing(self) -> None:
        """The client has taken everything, or nothing any more."""
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
        if self.clogged is not None:
            self.clogged.set_result(None)
            self.clogged = None

    def shutdown(self) -> None:
        """The server stops (uvicorn calls this): close the connection when everything is answered."""
        if self._running is None or self._latest is None:
            self._transport.close()
        else:
            self._latest.keep_alive = False

    # what the parser calls

    def on_message_begin(self) -> None:
        """A head begins."""
        self._in_head, self._bytes_of_no_body = True, 0
        self._url, self._headers, self._wants_continue = b"", [], False

    def on_url(self, url: bytes) -> None:
        """Some of the URL has come."""
        self._url += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """A field has come, of the head or behind the body."""
        name = name.lower()
        self._headers.append((name, value))
        if name == b"expect":
            self._wants_continue = value.lower() == b"100-continue"

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._in_head, self._bytes_of_no_body = False, 0
        if self._is_head_too_long():
            raise _HeadTooLongError
        if self._parser.get_method() == b"CONNECT":
            raise httptools.HttpParserError
        if self._parser.should_upgrade():
            return
        if self._latest is not None and not self._latest.keep_alive:
            return  # what comes behind the last request is not looked at
        scope = scope_of(self._parser, self._url, self._headers, self._addresses)
        self._headers = []  # fields behind the body land here, else they would be taken for the head's
        self._latest = scope["extensions"][EXCHANGE] = Exchange(
            self,
            wants_body=scope["method"] != "HEAD",
            keep_alive=self._may_follow(),
            wants_continue=self._wants_continue,
        )
        if self._running is None:
            self._begin(self._latest, scope)
        else:
            self._waiting.append((self._latest, scope))
            self._stop_reading()

    def on_body(self, body: bytes) -> None:
        """Some of a body has come."""
        self._bytes_of_no_body = 0
        if self._latest is not None and not (self._latest.complete or self._latest.whole):
            self._latest.take(body)
            if self._latest.waiting_bytes > MAX_WAITING_BYTES:
                self._stop_reading()

    def on_message_complete(self) -> None:
        """A request has ended."""
        self._bytes_of_no_body = 0
        if self._latest is not None and not (self._latest.whole or self._parser.should_upgrade()):
            self._latest.end()

    # what an exchange calls

    @property
    def every_head(self) -> Headers:
        """The date; uvicorn looks at the clock once a second."""
        return self._state.default_headers

    def write(self, head: bytes, body: bytes) -> None:
        """Send head and body together: one call and one packet."""
        if len(body) <= SHORT:
            self._transport.write(head + body)
        else:
            self._transport.writelines((head, body))

    def ends_with(self, exchange: Exchange) -> bool:
        """Whether an answer is the last one: the process stops, and no request came behind it."""
        return self._is_stopping() and exchange is self._latest

    def taken(self) -> None:
        """What had come of a body was taken: more may come."""
        if not (self._reads or self._waiting or self._fault or self._transport.is_closing()):
            self._reads = True
            self._transport.resume_reading()

    def answered(self, exchange: Exchange) -> None:
        """An answer was sent; the next request may be here already, or the beginning of its head."""
        self._running = None
        if not exchange.keep_alive:
            self._transport.close()
        if self._transport.is_closing():
            return
        if self._waiting:
            self._begin(*self._waiting.popleft())
        elif self._fault:
            self._refuse(400, self._fault)
        else:
            self._idle_since_s = self._loop.time()
            if self._in_head and self._head_timer is None:
                self._start_timer()
        self.taken()

    # requests

    @property
    def _connections(self) -> set[object]:
        return cast("set[object]", self._state.connections)

    def _may_follow(self) -> bool:
        """Whether another request may come behind that whose head has come."""
        if len(self._waiting) + 1 >= MAX_WAITING or self._parser.get_http_version() == "1.0":
            return False
        return bool(self._parser.should_keep_alive())

    def _is_head_too_long(self) -> bool:
        fields = sum([len(name) + len(value) + len(b": \r\n") for name, value in self._headers])
        return len(self._url) + fields > MAX_HEAD_BYTES

    def _new_parser(self) -> httptools.HttpRequestParser:
        parser = httptools.HttpRequestParser(self)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # it is left unanswered
        return parser

    def _parse(self, data: bytes) -> None:
        """Let the parser see bytes; no connection becomes one of another protocol."""
        try:
            while data:
                data = self._unseen(data)
        except httptools.HttpParserError as error:
            is_long = isinstance(error.__context__, _HeadTooLongError)
            self._refuse_in_turn(TOO_LONG if is_long else NOT_HTTP)

    def _unseen(self, data: bytes) -> bytes:
        """Feed the parser; gives what it did not look at, behind a wish for another protocol."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._begin_without_upgrade()
            return data[upgrade.args[0] :]
        return b""

    def _begin_without_upgrade(self) -> None:
        """Give the head to a new parser without the wish for another protocol.

        The parser takes a body behind such a head for the other protocol. Java's client and `curl --http2`
        have that wish, and a body.
        """
        head = without_upgrade(self._parser, self._url, self._headers)
        self._parser = self._new_parser()
        self._parser.feed_data(head)

    def _begin(self, exchange: Exchange, scope: Scope) -> None:
        self._running = exchange
        exchange.task = self._loop.create_task(self._answer(exchange, scope))
        self._state.tasks.add(exchange.task)
        exchange.task.add_done_callback(self._state.tasks.discard)

    async def _answer(self, exchange: Exchange, scope: Scope) -> None:
        """Let the application answer; what it leaves unanswered ends the connection."""
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception:
            logger.exception("an answer failed")
            if not exchange.complete:
                self._refuse(500, FAILED)
        finally:
            if not exchange.complete:
                self._transport.close()

    def _stop_reading(self) -> None:
        if self._reads:
            self._reads = False
            self._transport.pause_reading()

    # guards

    def _start_timer(self) -> None:
        delay_s = self._settings.header_timeout_ms / 1000
        self._head_timer = self._loop.call_later(delay_s, self._give_up)

    def _stop_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _close_if_idle(self) -> None:
        """Look now and then whether the client was silent for too long: a timer per answer costs more."""
        now_s, patience_s = self._loop.time(), self._settings.keep_alive_ms / 1000
        busy = self._running is not None or self._head_timer is not None
        due_s = (now_s if busy else self._idle_since_s) + patience_s
        if due_s <= now_s:
            self._transport.close()
        else:
            self._idle_timer = self._loop.call_at(due_s, self._close_if_idle)

    def _cut(self) -> None:
        """Reset the connection: a plain close would leave the kernel with what the client does not take."""
        raw = self._transport.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def _give_up(self) -> None:
        self._refuse(408, TOO_SLOW.format(self._settings.header_timeout_ms))

    def _refuse_in_turn(self, message: str) -> None:
        """Refuse what came last, behind the answers to the requests before it; nothing more is read."""
        if self._waiting and not self._waiting[-1][0].whole:
            self._waiting.pop()
        if self._running is not None and self._running.whole:
            self._fault = message
            self._stop_reading()
        else:
            self._refuse(400, message)

    def _refuse(self, status: int, message: str) -> None:
        self._stop_timer()
        answering = self._running is not None and self._running.started
        if not answering and not self._transport.is_closing():
            self._transport.write(whole_answer(status, message))
        self._transport.close()


def _address(found: object) -> tuple[str, int] | None:
    """Host and port; None of a socket that has none, as that of a file."""
    return (str(found[0]), int(found[1])) if isinstance(found, tuple) else None
