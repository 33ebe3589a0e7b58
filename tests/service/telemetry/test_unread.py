"""A log that nobody reads holds nobody up, and is whole when someone reads it after all."""

import fcntl
import logging
import os
import pty
import threading
from collections.abc import Iterator

import pytest
from mcdrop_service.telemetry import unread
from mcdrop_service.telemetry.unread import UnheldHandler

from tests.support.wire import PATIENCE_S

LEAST_PIPE_BYTES = 4096


class Pipe:
    """The smallest there is, and a log that goes into it."""

    def __init__(self) -> None:
        self.reads, self.writes = os.pipe()
        fcntl.fcntl(self.writes, fcntl.F_SETPIPE_SZ, LEAST_PIPE_BYTES)
        self.handler = UnheldHandler(self.writes)
        self.logger = logging.Logger("log")
        self.logger.addHandler(self.handler)

    def read(self, last: str) -> list[str]:
        """All lines, up to one that ends like this."""
        text = ""
        while not text.endswith(f"{last}\n"):
            text += os.read(self.reads, 65536).decode()
        return text.splitlines()

    def close(self) -> None:
        """Both ends; whoever still writes is told."""
        os.close(self.reads)
        self.handler.flush()
        os.close(self.writes)


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    opened = Pipe()
    yield opened
    opened.close()


@pytest.mark.parametrize(("length", "half"), [(20, 500), (3 * LEAST_PIPE_BYTES, 20)])
def test_what_nobody_reads_waits_and_comes_whole_and_in_order(pipe: Pipe, length: int, half: int) -> None:
    lines = [f"{i:0{length}}" for i in range(2 * half)]
    for some in (lines[:half], lines[half:]):
        for line in some:
            pipe.logger.warning(line)
        assert pipe.read(some[-1]) == some


def test_what_is_too_much_is_dropped_and_counted(pipe: Pipe, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unread, "MOST_BYTES", 10_000)
    for i in range(1000):
        pipe.logger.warning(f"{i:099}")
    *lines, told = pipe.read("nobody read them in time")
    assert lines[:100] == [f"{i:099}" for i in range(100)]
    assert lines == sorted(set(lines))  # a thread that begins late makes room once more
    assert 100 <= len(lines) <= 200
    assert told == f"{1000 - len(lines)} lines of the log are missing: nobody read them in time"


def test_a_reader_who_is_gone_is_no_reason_to_fail(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    for _ in range(1000):
        pipe.logger.warning(" " * 99)
    os.close(pipe.reads)
    pipe.reads = os.open(os.devnull, os.O_RDONLY)
    pipe.logger.warning("nobody is there")
    assert capsys.readouterr().err == ""


def test_the_end_of_the_process_waits_for_it_but_not_long(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unread, "PATIENCE_S", 0.01)
    for _ in range(1000):
        pipe.logger.warning(" " * 99)
    pipe.handler.flush()
    assert len(os.read(pipe.reads, LEAST_PIPE_BYTES)) > 0


def test_a_terminal_that_nobody_reads_holds_nobody_up() -> None:
    """As of a connection that hangs: it has room for some of a line, and a write waits for all."""
    reads, writes = pty.openpty()
    handler, log = UnheldHandler(writes), logging.Logger("log")
    log.addHandler(handler)

    def write() -> None:
        for i in range(1000):
            log.warning(f"{i:099}")

    logging_on = threading.Thread(target=write, daemon=True)
    logging_on.start()
    logging_on.join(PATIENCE_S)
    assert not logging_on.is_alive()
    text = b""
    while not text.endswith(b"999\r\n"):
        text += os.read(reads, 65536)
    assert [int(line) for line in text.splitlines()] == list(range(1000))
    handler.flush()
    os.close(writes)
    os.close(reads)
