"""Load: the same request over and over on open connections, as fast as answers come or at a fixed rate.

The generator must not be what is measured: it knows just enough of HTTP to find the end of an answer, and one
core of it can ask several times as often as any server here can answer.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np

__all__ = ["Seen", "at_rate", "in_turns", "post_request", "wait_for_answer"]

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length:"
_PATIENCE = 600


@dataclass
class Seen:
    """What came back.

    Attributes:
        seconds: From the first request to the last answer.
        latencies_s: Of the answers with status 200, in order of arrival.
        statuses: How many answers had which status; 0 stands for a connection that was cut.
    """

    seconds: float = 0.0
    latencies_s: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def per_second(self) -> float:
        """Answers with status 200 in a second."""
        return len(self.latencies_s) / self.seconds

    def quantile_ms(self, level: float) -> float:
        """A quantile of the latencies."""
        return float(np.quantile(self.latencies_s, level)) * 1000 if self.latencies_s else float("nan")

    def note(self, status: int, latency_s: float) -> None:
        """Count one answer."""
        self.statuses[status] += 1
        if status == 200:
            self.latencies_s.append(latency_s)


def post_request(path: str, body: bytes) -> bytes:
    """A POST of JSON, ready to be sent."""
    head = f"POST {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


class _Connection(asyncio.Protocol):
    """One open connection, with at most one request under way.

    Args:
        on_answer: Called with this connection, the status and the latency in seconds.
    """

    def __init__(self, on_answer: Callable[["_Connection", int, float], None]) -> None:
        self._on_answer = on_answer
        self._received = b""
        self._began_s = 0.0
        self._busy = False
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def ask(self, request: bytes, began_s: float) -> None:
        """Send a request; its latency counts from `began_s`."""
        self._began_s, self._busy = began_s, True
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if (size := _size(self._received)) is not None and len(self._received) >= size:
            status, self._received, self._busy = int(self._received[9:12]), b"", False
            self._on_answer(self, status, time.perf_counter() - self._began_s)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  asyncio's signature
        if self._busy:
            self._busy = False
            self._on_answer(self, 0, 0.0)


def _size(received: bytes) -> int | None:
    """Of a whole answer; None while its head is not there."""
    end = received.find(_END_OF_HEAD)
    if end < 0:
        return None
    head = received[:end].lower()
    start = head.index(_LENGTH) + len(_LENGTH)
    stop = head.find(b"\r\n", start)
    return end + len(_END_OF_HEAD) + int(head[start : stop if stop >= 0 else end])


def in_turns(
    port: int,
    request: bytes | Iterator[bytes],
    *,
    connections: int,
    count: int,
    seconds: float,
    cut: float = 0.0,
) -> Seen:
    """Closed loop: each connection sends its next request when it has its answer.

    Args:
        port: On 127.0.0.1.
        request: Whole; the same each time, or one after the other.
        connections: That are open at once.
        count: Most requests.
        seconds: After which no further one is sent.
        cut: Share of the requests after which the client goes away and comes back on a new connection.
    """
    requests = repeat(request) if isinstance(request, bytes) else request
    turns = _Turns(port, requests, count, seconds, cut)
    return asyncio.run(turns.take(connections))


def wait_for_answer(port: int, request: bytes) -> None:
    """Ask until the answer is 200: some listen before they can answer.

    Args:
        port: On 127.0.0.1.
        request: Whole.

    Raises:
        RuntimeError: If that takes minutes.
    """
    for _ in range(_PATIENCE):
        if in_turns(port, request, connections=1, count=1, seconds=60).statuses[200]:
            return
        time.sleep(0.2)
    raise RuntimeError(f"who listens on port {port} never answered")


class _Turns:
    """One closed loop."""

    def __init__(self, port: int, requests: Iterator[bytes], count: int, seconds: float, cut: float) -> None:
        self._port = port
        self._requests = requests
        self._left = count
        self._seconds = seconds
        self._cut_every = round(1 / cut) if cut else 0
        self._seen = Seen()
        self._began_s = 0.0

    async def take(self, connections: int) -> Seen:
        """Ask on so many connections until there is nothing left to ask."""
        self._began_s = time.perf_counter()
        await asyncio.gather(*(self._one() for _ in range(connections)))
        self._seen.seconds = time.perf_counter() - self._began_s
        return self._seen

    async def _one(self) -> None:
        """One client, on one connection after the other."""
        while self._goes_on():
            done = asyncio.get_running_loop().create_future()

            def on_answer(
                connection: _Connection, status: int, latency_s: float, done: asyncio.Future[None] = done
            ) -> None:
                self._seen.note(status, latency_s)
                if status and self._goes_on() and not connection.transport.is_closing():
                    self._ask(connection)
                elif not done.done():
                    done.set_result(None)

            (connection,) = await _opened(self._port, 1, on_answer)
            self._ask(connection)
            await done
            await _close([connection])

    def _goes_on(self) -> bool:
        return self._left > 0 and time.perf_counter() - self._began_s < self._seconds

    def _ask(self, connection: _Connection) -> None:
        self._left -= 1
        connection.ask(next(self._requests), time.perf_counter())
        if self._cut_every and self._left % self._cut_every == 0:
            connection.transport.abort()


def at_rate(port: int, request: bytes, *, connections: int, per_second: float, seconds: float) -> Seen:
    """Open loop: a request at each tick, however slow the answers are.

    Latency counts from the tick, so that a request that had to wait for a free connection is not flattered.

    Args:
        port: On 127.0.0.1.
        request: Whole.
        connections: That are open at once, enough for all that is under way.
        per_second: Ticks.
        seconds: Of ticks; then what is under way is awaited.
    """
    return asyncio.run(_at_rate(port, request, connections, per_second, seconds))


async def _at_rate(port: int, request: bytes, connections: int, per_second: float, seconds: float) -> Seen:
    seen = Seen()
    waiting: list[float] = []
    idle: list[_Connection] = []

    def on_answer(connection: _Connection, status: int, latency_s: float) -> None:
        seen.note(status, latency_s)
        if waiting:
            connection.ask(request, waiting.pop(0))
        elif status:
            idle.append(connection)

    opened = await _opened(port, connections, on_answer)
    idle += opened
    began_s = time.perf_counter()
    ticks = int(per_second * seconds)
    for tick in range(ticks):
        due_s = began_s + tick / per_second
        if (early_s := due_s - time.perf_counter()) > 0:
            await asyncio.sleep(early_s)
        if idle:
            idle.pop().ask(request, due_s)
        else:
            waiting.append(due_s)
    while seen.statuses.total() < ticks and len(idle) < len(opened):
        await asyncio.sleep(0.01)
    seen.seconds = time.perf_counter() - began_s
    await _close(opened)
    return seen


async def _opened(
    port: int, connections: int, on_answer: Callable[[_Connection, int, float], None]
) -> list[_Connection]:
    loop = asyncio.get_running_loop()
    made = [
        await loop.create_connection(lambda: _Connection(on_answer), "127.0.0.1", port)
        for _ in range(connections)
    ]
    return [protocol for _, protocol in made]


async def _close(connections: Iterable[_Connection]) -> None:
    for connection in connections:
        connection.transport.close()
    await asyncio.sleep(0)
