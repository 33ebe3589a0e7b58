"""A server in a process of its own, on a core of its own, with what it takes of time and memory."""

import contextlib
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

__all__ = ["Process", "free_port", "running", "take_core"]

TICKS: Final = os.sysconf("SC_CLK_TCK")
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
GRACE_S: Final = 15.0
START_S: Final = 180.0


class Process:
    """A running server, with the processes that it started.

    Args:
        popen: As it was started.
        port: Where it listens on 127.0.0.1.
    """

    def __init__(self, popen: "subprocess.Popen[bytes]", port: int) -> None:
        self._popen = popen
        self.port = port

    @property
    def seconds(self) -> float:
        """Processor time so far."""
        fields = [_stat(pid) for pid in self._members()]
        return sum(int(its[11]) + int(its[12]) for its in fields if its) / TICKS

    @property
    def megabytes(self) -> float:
        """Resident memory."""
        fields = [_stat(pid) for pid in self._members()]
        return sum(int(its[21]) for its in fields if its) * PAGE / 1e6

    @property
    def open_files(self) -> int:
        """File descriptors."""
        return sum(len(_listed(pid)) for pid in self._members())

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        return self._popen.poll() is None

    def stop(self) -> None:
        """End it in order, then by force: some leave children behind."""
        members = self._members()
        self._popen.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._popen.wait(GRACE_S)
        for pid in members:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._popen.wait()

    def _members(self) -> list[int]:
        """It and all that it started, directly or not."""
        pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
        parents = {pid: int(its[1]) for pid in pids if (its := _stat(pid))}
        found = {self._popen.pid}
        while more := {pid for pid, parent in parents.items() if parent in found} - found:
            found |= more
        return list(found)


def _stat(pid: int) -> list[str]:
    """Fields of `/proc/PID/stat` from the state on; none if it is gone."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    except OSError:
        return []


def _listed(pid: int) -> list[str]:
    try:
        return [entry.name for entry in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


@contextlib.contextmanager
def running(
    command: Sequence[str], port: int, environment: Mapping[str, str], *, cores: Sequence[int]
) -> Iterator[Process]:
    """A server that accepts connections.

    Args:
        command: Starts it.
        port: Where it will listen.
        environment: Beside what there is.
        cores: On which it and its children may run.

    Raises:
        RuntimeError: If it ends, or does not listen in time.
    """
    with Path(os.devnull).open("wb") as nowhere:
        popen = subprocess.Popen(  # noqa: S603  the commands are written in this directory
            command,
            env={**os.environ, **environment},
            stdout=nowhere,
            stderr=nowhere,
            preexec_fn=lambda: os.sched_setaffinity(0, cores),  # noqa: PLW1509  there are no threads here
        )
    process = Process(popen, port)
    try:
        _wait_for(process, command)
        yield process
    finally:
        process.stop()


def _wait_for(process: Process, command: Sequence[str]) -> None:
    limit_s = time.monotonic() + START_S
    while process.alive and time.monotonic() < limit_s:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", process.port), 1):
            return
        time.sleep(0.2)
    raise RuntimeError(f"{' '.join(command)} does not listen")


def free_port() -> int:
    """One that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def take_core() -> list[int]:
    """The core of the servers, the first; this process keeps to the last from now on."""
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[-1:])
    return cores[:1]
