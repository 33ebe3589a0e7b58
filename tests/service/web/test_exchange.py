"""One request and its answer, on a connection that only notes what is sent."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

import pytest
from mcdrop_service.web.exchange import Connection, Exchange
from starlette.types import Message

T = TypeVar("T")

DATE = (b"date", b"today")
OK = b"HTTP/1.1 200 OK\r\ndate: today\r\n"


class Noting:
    """A connection."""

    def __init__(self) -> None:
        self.every_head = [DATE]
        self.clogged: asyncio.Future[None] | None = None
        self.sent: list[bytes] = []
        self.answers = 0

    def write(self, head: bytes, body: bytes) -> None:
        self.sent.append(head + body)

    def ends_with(self, exchange: Exchange) -> bool:
        assert not exchange.started
        return False

    def taken(self) -> None:
        pass

    def answered(self, exchange: Exchange) -> None:
        assert exchange.complete
        self.answers += 1


def exchange(
    connection: Connection, *, wants_body: bool = True, keep_alive: bool = True, wants_continue: bool = False
) -> Exchange:
    return Exchange(connection, wants_body=wants_body, keep_alive=keep_alive, wants_continue=wants_continue)


def start(*headers: tuple[bytes, bytes], status: int = 200) -> Message:
    return {"type": "http.response.start", "status": status, "headers": headers}


def body(content: bytes, *, more: bool = False) -> Message:
    return {"type": "http.response.body", "body": content, "more_body": more}


def sent(exchange: Exchange, *messages: Message) -> None:
    async def main() -> None:
        for message in messages:
            await exchange.send(message)

    asyncio.run(main())


def length(size: int) -> tuple[bytes, bytes]:
    return (b"content-length", str(size).encode())


def test_a_head_goes_with_the_first_of_its_body_and_the_rest_at_once() -> None:
    connection = Noting()
    sent(exchange(connection), start(length(8)), body(b"some", more=True), body(b"more"))
    assert connection.sent == [OK + b"content-length: 8\r\n\r\nsome", b"more"]
    assert connection.answers == 1


def test_the_answer_to_head_has_no_body() -> None:
    connection = Noting()
    sent(exchange(connection, wants_body=False), start(length(4)), body(b"some"))
    assert connection.sent == [OK + b"content-length: 4\r\n\r\n"]


def test_an_answer_that_can_have_no_body_has_none() -> None:
    connection = Noting()
    sent(exchange(connection), start(status=204), body(b"the next answer?"))
    assert connection.sent == [b"HTTP/1.1 204 No Content\r\ndate: today\r\n\r\n"]


def test_an_answer_needs_no_headers() -> None:
    connection = Noting()
    sent(exchange(connection), {"type": "http.response.start", "status": 200}, {"type": "http.response.body"})
    assert connection.sent == [OK + b"connection: close\r\n\r\n"]


@pytest.mark.parametrize(("status", "stays"), [(200, False), (304, True)])
def test_an_answer_of_unknown_length_ends_with_its_connection(status: int, stays: bool) -> None:
    connection = Noting()
    its = exchange(connection)
    sent(its, start(status=status), body(b""))
    assert its.keep_alive is stays
    assert (b"connection: close\r\n" in connection.sent[0]) is not stays


def test_an_answer_behind_which_no_request_may_come_says_so() -> None:
    connection = Noting()
    sent(exchange(connection, keep_alive=False), start(length(0)), body(b""))
    assert connection.sent == [OK + b"content-length: 0\r\nconnection: close\r\n\r\n"]


@pytest.mark.parametrize(
    "messages",
    [
        [body(b"")],
        [start(), start()],
        [start(length(0)), body(b""), body(b"")],
        [start(length(1)), body(b"ab")],
        [start(length(3)), body(b"ab")],
    ],
)
def test_messages_that_make_no_answer_are_refused(messages: list[Message]) -> None:
    with pytest.raises(RuntimeError):
        sent(exchange(Noting()), *messages)


@pytest.mark.parametrize("value", [b"a\r\nset-cookie: b", b"a\nb: c", b"a\rb"])
def test_no_header_becomes_two(value: bytes) -> None:
    with pytest.raises(ValueError, match="more than one line"):
        sent(exchange(Noting()), start((b"x-request-id", value)))


def test_nothing_is_sent_to_a_client_that_is_gone() -> None:
    connection = Noting()
    its = exchange(connection)
    its.leave()
    sent(its, start(length(0)), body(b""))
    assert connection.sent == []


def test_an_answer_waits_for_a_client_that_does_not_take_what_came_before() -> None:
    async def main() -> tuple[list[bytes], list[bytes]]:
        connection = Noting()
        connection.clogged = asyncio.get_running_loop().create_future()
        its = exchange(connection)
        sending = asyncio.create_task(_all(its.send(start(length(0))), its.send(body(b""))))
        await asyncio.sleep(0)
        before = list(connection.sent)
        connection.clogged.set_result(None)
        connection.clogged = None
        await sending
        return before, connection.sent

    assert asyncio.run(main()) == ([], [OK + b"content-length: 0\r\n\r\n"])


async def _all(*steps: Awaitable[T]) -> list[T]:
    return [await step for step in steps]


def received(exchange: Exchange, *, times: int = 1) -> list[Any]:
    return asyncio.run(_all(*(exchange.receive() for _ in range(times))))


def test_what_came_of_a_body_is_received_together() -> None:
    its = exchange(Noting())
    its.take(b"so")
    its.take(b"me")
    assert its.waiting_bytes == 4
    assert received(its) == [{"type": "http.request", "body": b"some", "more_body": True}]
    assert its.waiting_bytes == 0
    its.end()
    assert received(its) == [{"type": "http.request", "body": b"", "more_body": False}]


def test_a_body_that_comes_later_is_waited_for() -> None:
    async def main() -> Message:
        its = exchange(Noting())
        asyncio.get_running_loop().call_soon(its.take, b"late")
        return await its.receive()

    assert asyncio.run(main())["body"] == b"late"


def test_behind_the_body_comes_the_news_that_the_client_is_served() -> None:
    async def main() -> Message:
        its = exchange(Noting())
        its.end()
        await its.receive()
        waiting = asyncio.create_task(its.receive())
        await asyncio.sleep(0)
        assert not waiting.done()
        await its.send(start(length(0)))
        await its.send(body(b""))
        return await waiting

    assert asyncio.run(main()) == {"type": "http.disconnect"}


def test_who_asks_again_whether_the_client_is_there_does_not_wait() -> None:
    left = exchange(Noting())
    left.leave()
    assert received(left, times=3) == [{"type": "http.disconnect"}] * 3
    served = exchange(Noting())
    sent(served, start(length(0)), body(b""))
    assert received(served, times=3) == [{"type": "http.disconnect"}] * 3


@pytest.mark.parametrize("wants_continue", [True, False])
@pytest.mark.parametrize("whole", [True, False])
def test_a_client_that_waits_to_send_its_body_is_told_once_to_do_so(
    wants_continue: bool, whole: bool
) -> None:
    connection = Noting()
    its = exchange(connection, wants_continue=wants_continue)
    its.take(b"a")
    if whole:
        its.end()
    received(its)
    its.end()
    received(its)
    told = wants_continue and not whole
    assert connection.sent == [b"HTTP/1.1 100 Continue\r\n\r\n"] * told


@pytest.mark.parametrize("ends", [True, False])
def test_an_application_is_cancelled_when_its_client_goes_away_if_it_asked_for_that(ends: bool) -> None:
    async def main() -> bool:
        its = exchange(Noting())
        its.ends_when_gone = ends
        its.task = asyncio.create_task(asyncio.sleep(0))
        its.leave()
        await asyncio.wait([its.task])
        return its.task.cancelled()

    assert asyncio.run(main()) is ends
