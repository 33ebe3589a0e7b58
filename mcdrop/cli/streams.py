"""Standard output and error whose reader may leave before all is said, as `head` and a closed pager do.

What is written then goes nowhere, and the command goes on: its files are written, and its exit code is that
of the checks that were asked for, in place of one that says that nobody listened.
"""

import io
import os
import sys
from pathlib import Path
from typing import Any, TextIO

__all__ = ["let_readers_leave", "patient"]


def let_readers_leave() -> None:
    """Make this process's output and error such streams, where they are still those it started with."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if isinstance(stream, io.TextIOWrapper) and stream is getattr(sys, f"__{name}__"):
            stream.flush()
            setattr(sys, name, patient(stream))


def patient(stream: io.TextIOWrapper) -> TextIO:
    """A stream that writes to the same file, and to nowhere once its reader has left."""
    return io.TextIOWrapper(
        io.BufferedWriter(_Pipe(stream.fileno(), "w", closefd=False)),
        encoding=stream.encoding,
        errors=stream.errors,
        line_buffering=stream.line_buffering,
        write_through=stream.write_through,
    )


class _Pipe(io.FileIO):
    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except BrokenPipeError:
            with Path(os.devnull).open("wb") as nowhere:
                os.dup2(nowhere.fileno(), self.fileno())
            return super().write(data)
