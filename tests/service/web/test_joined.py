"""Head and body of an answer, sent together."""

import asyncio
from collections.abc import Iterable
from typing import Any

from mcdrop_service.web.joined import Joined

HEAD = b"HTTP/1.1 200 OK\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Sent(asyncio.Transport):
    """Notes what is sent by each call, and the end."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[Any] = []

    def write(self, data: Any) -> None:
        self.calls.append(data)

    def writelines(self, list_of_data: Iterable[Any]) -> None:
        self.calls.append(b"".join(list_of_data))

    def close(self) -> None:
        self.calls.append("end")

    def is_closing(self) -> bool:
        return "end" in self.calls


def test_a_head_goes_with_the_first_of_its_body_and_the_rest_at_once() -> None:
    joined = Joined(sent := Sent())
    for piece in (CONTINUE, HEAD, b"first", b"HTTP/1.1 second"):
        joined.write(piece)
    joined.flush()
    assert sent.calls == [CONTINUE, HEAD + b"first", b"HTTP/1.1 second"]


def test_a_head_without_a_body_is_sent_at_the_end() -> None:
    joined = Joined(sent := Sent())
    joined.write(HEAD)
    assert sent.calls == []
    joined.flush()
    assert sent.calls == [HEAD]


def test_nothing_is_lost_when_the_connection_is_closed() -> None:
    joined = Joined(sent := Sent())
    joined.write(HEAD)
    assert not joined.is_closing()
    joined.close()
    assert joined.is_closing()
    assert sent.calls == [HEAD, "end"]
