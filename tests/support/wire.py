"""Talking to a real server: the process, plain requests, and raw bytes that no client would send."""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import IO, Any

__all__ = [
    "Answer",
    "Server",
    "answers",
    "connected",
    "exchange",
    "get",
    "post",
    "read_answer",
    "running",
    "until",
]

PATIENCE_S = 60.0
GRACE_S = 10.0


@dataclass(frozen=True)
class Answer:
    """What came back: status, headers in small letters, and the body as it is."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def document(self) -> Any:
        """The body, read as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The one message of a refusal; fails if the body is anything else."""
        document = self.document
        assert set(document) == {"error"}, document
        message: str = document["error"]
        return message


@dataclass(frozen=True)
class Server:
    """A server process that has said that it is ready."""

    process: subprocess.Popen[str]
    port: int
    greeting: str


@contextlib.contextmanager
def running(
    command: Sequence[str], stderr: int | IO[str] | None = None, /, **environment: str
) -> Iterator[Server]:
    """A server in a process of its own; its greeting ends with a blank line and names its URL."""
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=stderr,
        env={**os.environ, **environment},
        text=True,
    )
    try:
        assert process.stdout is not None
        greeting = "".join(takewhile(str.strip, process.stdout))
        assert "http://" in greeting, f"no greeting, but: {greeting!r}"
        port = int(greeting.partition("http://")[2].partition(" ")[0].rpartition(":")[2])
        yield Server(process, port, greeting)
    finally:
        _ended(process)


def _ended(process: subprocess.Popen[str]) -> None:
    """End a server in order if it can be done soon, so that nothing it has to write is lost."""
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=GRACE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()


def get(server: Server, path: str, **headers: str) -> Answer:
    """One GET request; an underscore in the name of a header stands for a hyphen."""
    return _request(server, "GET", path, None, headers)


def post(server: Server, path: str, document: object, **headers: str) -> Answer:
    """One POST request: bytes as they are, anything else as JSON."""
    body = document if isinstance(document, bytes) else json.dumps(document).encode()
    return _request(server, "POST", path, body, {"content_type": "application/json", **headers})


def _request(
    server: Server, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
) -> Answer:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE_S)
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    with contextlib.closing(connection):
        connection.request(method, path, body, named)
        return _answer(connection.getresponse())


def _answer(response: http.client.HTTPResponse) -> Answer:
    headers = {name.lower(): value for name, value in response.getheaders()}
    return Answer(response.status, headers, response.read())


def connected(server: Server) -> socket.socket:
    """An open connection."""
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE_S)


def read_answer(connection: socket.socket) -> Answer:
    """One answer from a raw connection."""
    response = http.client.HTTPResponse(connection)
    response.begin()
    return _answer(response)


def exchange(server: Server, raw: bytes) -> Answer:
    """The answer to raw bytes on a connection of their own."""
    with connected(server) as connection:
        connection.sendall(raw)
        return read_answer(connection)


def answers(server: Server, path: str) -> bool:
    """Whether there is somebody, and all is well."""
    try:
        return get(server, path).status == 200
    except ConnectionError:
        return False


def until(holds: Callable[[], bool]) -> None:
    """Ask until something holds."""
    limit = time.monotonic() + PATIENCE_S
    while not holds():
        assert time.monotonic() < limit
        time.sleep(0.001)  # and leave the processor to what it waits for
