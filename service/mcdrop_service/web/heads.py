"""Heads of requests and answers: from what the parser saw to ASGI's scope, and from a status to bytes."""

from collections.abc import Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import httptools
from starlette.types import Scope

from mcdrop_service.encoding import encode_error

__all__ = ["CLOSE", "Headers", "head_of", "scope_of", "whole_answer", "without_upgrade"]

CLOSE: Final = (b"connection", b"close")
"""The header of the last answer on a connection."""

PHRASES: Final = {each.value: each.phrase for each in HTTPStatus}

Headers = Sequence[tuple[bytes, bytes]]


def scope_of(
    parser: httptools.HttpRequestParser, url: bytes, headers: Headers, addresses: Mapping[str, Any]
) -> Scope:
    """What ASGI says of a request.

    Args:
        parser: Has seen all of its head.
        url: In its first line.
        headers: Their names in lower case.
        addresses: Of client and server, by ASGI's names.

    Raises:
        httptools.HttpParserError: If the URL is none.
    """
    parts = httptools.parse_url(url)
    path = parts.path.decode("ascii")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": parser.get_http_version(),
        "method": parser.get_method().decode("ascii"),
        "scheme": "http",
        "path": unquote(path) if "%" in path else path,
        "raw_path": parts.path,
        "query_string": parts.query or b"",
        "root_path": "",
        "headers": headers,
        "extensions": {},
        **addresses,
    }


def without_upgrade(parser: httptools.HttpRequestParser, url: bytes, headers: Headers) -> bytes:
    """The head of a request, written again without the wish for another protocol.

    Args:
        parser: Has seen all of it.
        url: In its first line.
        headers: Their names in lower case.
    """
    first = b"%b %b HTTP/%b\r\n" % (parser.get_method(), url, parser.get_http_version().encode())
    fields = [b"%b: %b\r\n" % field for field in headers if field[0] != b"upgrade"]
    return b"".join([first, *fields, b"\r\n"])


def head_of(status: int, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """The head of an answer.

    Args:
        status: HTTP status.
        headers: Name and value of each.

    Raises:
        ValueError: If one has more than one line: what a client sent must not become a header of its own.
    """
    lines = [b"%b: %b\r\n" % field for field in headers]
    head = b"HTTP/1.1 %d %b\r\n%b\r\n" % (status, PHRASES.get(status, "").encode(), b"".join(lines))
    if not head.count(b"\n") == head.count(b"\r") == len(lines) + 2:
        raise ValueError("a header of an answer has more than one line")
    return head


def whole_answer(status: int, message: str) -> bytes:
    """A whole refusal, for where there is no request that could be answered; the last on its connection.

    Args:
        status: HTTP status.
        message: What was wanted and what came.
    """
    body = encode_error(message)
    length = str(len(body)).encode()
    headers = ((b"content-type", b"application/json"), (b"content-length", length), CLOSE)
    return head_of(status, headers) + body
