"""Writing a log that perhaps nobody reads: a pipe that is full holds up whoever writes to it."""

import logging
import os
import select
import threading
from collections import deque
from contextlib import suppress
from typing import Final

__all__ = ["UnheldHandler"]

MOST_BYTES: Final = 2**20
"""Of lines that wait for their reader."""
AT_ONCE: Final = select.PIPE_BUF
"""Bytes that a pipe takes without waiting if it says that it takes any."""
PATIENCE_S: Final = 0.5
"""How long the end of the process waits for what was not read yet."""


class UnheldHandler(logging.Handler):
    """Writes lines to a file descriptor, and is held up by no one who does not read them.

    What finds no room waits in memory, in order, and is written by a thread that lives until all of it is
    away. Beyond `MOST_BYTES` lines are dropped, and counted in a line of their own when there is room again.

    Args:
        fd: Open for writing, as long as the process lives.
    """

    def __init__(self, fd: int) -> None:
        super().__init__()
        self._fd = fd
        self._may_hold = os.isatty(fd)  # it says that it takes some, and waits until it has taken all
        self._room = select.poll()
        self._room.register(fd, select.POLLOUT)
        self._gate = threading.RLock()  # a collection of garbage in the middle of a line may log one itself
        self._waiting: deque[bytes] = deque()
        self._waiting_bytes = 0
        self._dropped = 0
        self._writer: threading.Thread | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, or let it wait."""
        try:
            self._take(self._line(record))
        except Exception:  # noqa: BLE001  as every handler does
            self.handleError(record)

    def flush(self) -> None:
        """Wait for what waits, but not long."""
        if (writer := self._writer) is not None:
            writer.join(PATIENCE_S)

    def _line(self, record: logging.LogRecord) -> bytes:
        return f"{self.format(record)}\n".encode()

    def _take(self, line: bytes) -> None:
        with self._gate:
            if self._writer is None and not self._may_hold:
                line = self._unwritten(line, patience_ms=0)
            if self._writer is None and line:
                writer = threading.Thread(target=self._write_all, name="mcdrop-log", daemon=True)
                writer.start()
                self._writer = writer
            if self._waiting_bytes + len(line) > MOST_BYTES:
                self._dropped += 1
            elif line:
                self._waiting.append(line)
                self._waiting_bytes += len(line)

    def _unwritten(self, line: bytes, patience_ms: int | None) -> bytes:
        """Write as much as there comes to be room for; what is left."""
        while line and self._room.poll(patience_ms):
            line = line[os.write(self._fd, line[:AT_ONCE]) :]
        return line

    def _write_all(self) -> None:
        while line := self._next():
            with suppress(OSError):
                self._unwritten(line, patience_ms=None)

    def _next(self) -> bytes:
        """The next line that waits; nothing when the thread may end."""
        with self._gate:
            if self._waiting:
                line = self._waiting.popleft()
                self._waiting_bytes -= len(line)
            elif self._dropped:
                line, self._dropped = self._line(_missing(self._dropped)), 0
            else:
                line, self._writer = b"", None
            return line


def _missing(lines: int) -> logging.LogRecord:
    message = "%d lines of the log are missing: nobody read them in time"
    return logging.LogRecord("mcdrop_service", logging.WARNING, "", 0, message, (lines,), None)
