"""One request and its answer, as an ASGI application has them: to `receive` and to `send`."""

import asyncio
from typing import Final, Protocol

from starlette.types import Message, Scope

from mcdrop_service.web.heads import CLOSE, Headers, head_of

__all__ = ["EXCHANGE", "Connection", "Exchange", "exchange_of"]

EXCHANGE: Final = "mcdrop.exchange"
"""The ASGI extension under which an application finds the exchange itself."""

CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
NO_BODY: Final = frozenset({204, 304})


class Connection(Protocol):
    """What an exchange needs of its connection."""

    @property
    def every_head(self) -> Headers:
        """Headers of every answer."""
        ...

    @property
    def clogged(self) -> asyncio.Future[None] | None:
        """Done when the client has taken what was sent before, or is gone; None if it has."""
        ...

    def write(self, head: bytes, body: bytes) -> None:
        """Send both together."""
        ...

    def ends_with(self, exchange: "Exchange") -> bool:
        """Whether an answer is the last one, although another could have followed."""
        ...

    def taken(self) -> None:
        """What had come of the body was taken: more may come."""
        ...

    def answered(self, exchange: "Exchange") -> None:
        """An answer was sent."""
        ...


class Exchange:
    """One request, and its answer.

    The request's scope knows it and not the other way, so that both go without a collection of garbage.

    Args:
        connection: It came by.
        wants_body: Whether the body of the answer is sent too: not to HEAD.
        keep_alive: Whether another one may follow.
        wants_continue: Whether the client waits to be told to send its body.

    Attributes:
        task: Of the application, once it has begun.
        waiting_bytes: Of the body, that the application did not receive yet.
        started: Whether some of the answer was sent.
        complete: Whether it was sent.
        whole: Whether all of the body has come.
        gone: Whether the client has gone away.
        ends_when_gone: Whether the application is cancelled if the client goes away.
    """

    def __init__(
        self, connection: Connection, *, wants_body: bool, keep_alive: bool, wants_continue: bool
    ) -> None:
        self.task: asyncio.Task[None] | None = None
        self.keep_alive = keep_alive
        self.waiting_bytes = 0
        self.started = self.complete = self.whole = self.gone = self.ends_when_gone = False
        self._connection = connection
        self._wants_body = wants_body
        self._wants_continue = wants_continue
        self._pieces: list[bytes] = []
        self._news = False
        self._waiter: asyncio.Future[None] | None = None
        self._head = b""
        self._left: int | None = None

    def take(self, body: bytes) -> None:
        """Some of the body has come.

        Args:
            body: A piece.
        """
        self._pieces.append(body)
        self.waiting_bytes += len(body)
        self._tell()

    def end(self) -> None:
        """All of the body has come."""
        self.whole = True
        self._tell()

    def leave(self) -> None:
        """The client has gone away."""
        self.gone = True
        self._tell()
        if self.ends_when_gone and self.task is not None:
            self.task.cancel()

    async def receive(self) -> Message:
        """ASGI's `receive`: what has come of the body; behind its end, that the client is gone or served."""
        if self._wants_continue and not (self.whole or self.started):
            self._connection.write(b"", CONTINUE)
        self._wants_continue = False
        if not (self._news or self.gone or self.complete):
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        if self.gone or self.complete:
            self._news = False
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": self.hand_over(), "more_body": not self.whole}

    def hand_over(self) -> bytes:
        """What has come of the body since this was last asked."""
        body = b"".join(self._pieces)
        self._pieces.clear()
        self.waiting_bytes, self._news = 0, False
        self._connection.taken()
        return body

    async def send(self, message: Message) -> None:
        """ASGI's `send`: a head is kept until its body comes, and they go together.

        Args:
            message: Start of an answer, or a piece of its body.

        Raises:
            RuntimeError: If it is not its turn, or the answer not as long as it says.
        """
        if self._connection.clogged is not None:
            await self.delivered()
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self._start(message["status"], message.get("headers", ()))
        else:
            self._continue(message.get("body", b""), more=message.get("more_body", False))

    async def delivered(self) -> None:
        """Wait until the client has taken what was sent, or is gone."""
        if (clogged := self._connection.clogged) is not None:
            await asyncio.shield(clogged)

    def _start(self, status: int, headers: Headers) -> None:
        if self._head or self.started:
            raise RuntimeError("an answer was begun twice")
        lengths = [int(value) for name, value in headers if name == b"content-length"]
        self._left = lengths[0] if lengths else None
        if status in NO_BODY:
            self._wants_body = False
        elif self._left is None:
            self.keep_alive = False  # its end is that of the connection
        if self._connection.ends_with(self):
            self.keep_alive = False
        last = () if self.keep_alive else (CLOSE,)
        self._head = head_of(status, (*self._connection.every_head, *headers, *last))

    def _continue(self, body: bytes, *, more: bool) -> None:
        if self.complete or not (self._head or self.started):
            raise RuntimeError("an answer was continued that is not under way")
        if not self._wants_body:
            body = b""
        elif self._left is not None:
            self._left -= len(body)
            if self._left < 0 or (self._left > 0 and not more):
                raise RuntimeError("an answer is not as long as its head says")
        head, self._head, self.started = self._head, b"", True
        self._connection.write(head, body)
        if not more:
            self.complete = True
            self._tell()
            self._connection.answered(self)

    def _tell(self) -> None:
        """Whoever waits to receive something does so now."""
        self._news = True
        if self._waiter is not None:
            if not self._waiter.done():
                self._waiter.set_result(None)
            self._waiter = None


def exchange_of(scope: Scope) -> Exchange:
    """The exchange that a request is part of.

    Args:
        scope: Of the request.
    """
    exchange: Exchange = scope["extensions"][EXCHANGE]
    return exchange
