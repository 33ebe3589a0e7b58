"""Several workers under one supervisor: processes that share nothing but their parent.

The first worker starts alone: what is wrong with a checkpoint is said once, before anything answers. A worker
that ends after it served is started anew on its port; one that could not start, or ended three times within a
minute, ends the service. SIGTERM, SIGINT and SIGHUP go to the supervisor, which passes them on and ends with
0 when all workers did; a second signal to stop kills them. A worker whose supervisor is gone stops by itself.

Workers are in sessions of their own, so that Ctrl-C in a terminal reaches the supervisor alone. A fork copies
no threads, so the supervisor has none (but one that writes a log that is held up), and never touches torch.
"""

import logging
import os
import selectors
import signal
import socket
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, NoReturn

__all__ = ["Ports", "Report", "supervise"]

logger = logging.getLogger("mcdrop_service")

Report = Callable[[str], None]
"""What a worker calls when it is ready, with what there is to say."""

STOPS: Final = (signal.SIGTERM, signal.SIGINT)
STRIKES: Final = 3
STRIKES_WITHIN_S: Final = 60.0
FAILED: Final = 1


@dataclass(frozen=True)
class Ports:
    """The sockets of one worker.

    Attributes:
        listener: Bound.
        management: Bound; None without a management port.
    """

    listener: socket.socket
    management: socket.socket | None = None

    @property
    def numbers(self) -> tuple[int, int | None]:
        """The port, and that of the management."""
        management = None if self.management is None else self.management.getsockname()[1]
        return self.listener.getsockname()[1], management

    def close(self) -> None:
        """Leave them to the worker."""
        for each in (self.listener, self.management):
            if each is not None:
                each.close()


@dataclass
class _Worker:
    """A worker process, or the place of one.

    Attributes:
        number: From 0.
        ports: Bound and not yet given to a process.
        pid: 0 while there is none.
        status: Read end of a pipe that the process alone can write to, so that its end is seen.
        said: What it said when it was ready; None before.
        deaths_s: When it died lately.
    """

    number: int
    ports: Ports | None
    pid: int = 0
    status: int = -1
    said: str | None = None
    deaths_s: deque[float] = field(default_factory=lambda: deque(maxlen=STRIKES))


def supervise(
    ports: Sequence[Ports],
    work: Callable[[Ports, Report], int],
    *,
    reopen: Callable[[int], Ports],
    say: Report,
    patience_s: float,
) -> int:
    """Run workers until a signal stops them.

    Args:
        ports: Of each worker.
        work: Serves in a process of its own; told its ports, and whom to tell when it is ready. Returns the
            exit code.
        reopen: Gives the ports of a worker again. May raise `OSError`.
        say: Told what the first worker says, when all are ready for the first time.
        patience_s: How long workers may take to stop before they are killed.

    Returns:
        The exit code.
    """
    with _wakeup() as wake:
        return _Supervisor([_Worker(i, each) for i, each in enumerate(ports)], work, reopen, say, wake).run(
            patience_s
        )


class _Supervisor:
    def __init__(
        self,
        workers: Sequence[_Worker],
        work: Callable[[Ports, Report], int],
        reopen: Callable[[int], Ports],
        say: Report,
        wake: int,
    ) -> None:
        self._workers = workers
        self._work = work
        self._reopen = reopen
        self._say: Report | None = say
        self._wake = wake
        self._events = selectors.DefaultSelector()
        self._events.register(wake, selectors.EVENT_READ)
        # no one ever writes to it: it ends with this process
        self._life, self._life_end = os.pipe()
        self._stopping = False
        self._code = 0

    def run(self, patience_s: float) -> int:
        """Until no worker is left."""
        self._start(self._workers[0])
        give_up_s: float | None = None
        while any(each.pid for each in self._workers):
            if self._stopping and give_up_s is None:
                give_up_s = time.monotonic() + patience_s
            ready = self._events.select(None if give_up_s is None else max(give_up_s - time.monotonic(), 0))
            if not ready:
                logger.error("workers did not stop within %.0f s and are killed", patience_s)
                self._kill(FAILED)
                give_up_s = time.monotonic() + patience_s
            for key, _ in ready:
                self._see(key.fd)
        return self._code

    def _see(self, fd: int) -> None:
        if fd == self._wake:
            for number in os.read(fd, 64):
                self._signalled(signal.Signals(number))
            return
        worker = next((each for each in self._workers if each.status == fd), None)
        if worker is None:
            return
        said = os.read(fd, 65536)
        if said:
            worker.said = (worker.said or "") + said.decode()
            self._one_is_ready()
        else:
            self._ended(worker)

    def _one_is_ready(self) -> None:
        for each in self._workers:
            if not each.pid and not self._stopping and each.ports is not None:
                self._start(each)
        if self._say is not None and all(each.said is not None for each in self._workers):
            self._say(self._workers[0].said or "")
            self._say = None

    def _signalled(self, number: signal.Signals) -> None:
        if number in STOPS and self._stopping:
            self._kill(128 + number)
            return
        self._pass_on(number)
        if number in STOPS:
            self._stopping = True

    def _pass_on(self, number: signal.Signals) -> None:
        for each in self._workers:
            if each.pid:
                os.kill(each.pid, number)

    def _kill(self, code: int) -> None:
        self._code = code
        self._pass_on(signal.SIGKILL)

    def _stop(self, code: int) -> None:
        """Let all others end in order: one cannot be had."""
        self._code = code
        self._stopping = True
        self._pass_on(signal.SIGTERM)

    def _ended(self, worker: _Worker) -> None:
        code = os.waitstatus_to_exitcode(os.waitpid(worker.pid, 0)[1])
        self._events.unregister(worker.status)
        os.close(worker.status)
        ready, worker.pid, worker.status = worker.said is not None, 0, -1
        if self._stopping:
            self._code = self._code or (FAILED if ready and code else 0)
            return
        if not ready:
            self._stop(code if code > 0 else FAILED)
            return
        self._start_anew(worker, code)

    def _start_anew(self, worker: _Worker, code: int) -> None:
        now_s = time.monotonic()
        worker.deaths_s.append(now_s)
        fields = {"worker": worker.number, "exit_code": code}
        if len(worker.deaths_s) == STRIKES and now_s - worker.deaths_s[0] < STRIKES_WITHIN_S:
            logger.error("a worker ended %d times in a minute: stopping", STRIKES, extra={"fields": fields})
            self._stop(FAILED)
            return
        logger.warning("a worker ended and is started anew", extra={"fields": fields})
        try:
            worker.ports, worker.said = self._reopen(worker.number), None
        except OSError as error:
            logger.error("the port of a worker cannot be had again: %s", error, extra={"fields": fields})  # noqa: TRY400
            self._stop(FAILED)
        else:
            self._start(worker)

    def _start(self, worker: _Worker) -> None:
        ports = worker.ports
        if ports is None:
            raise RuntimeError("a worker has no ports")
        _flush()
        worker.status, told = os.pipe()
        worker.pid = os.fork()
        if not worker.pid:
            self._be(worker, ports, told)
        os.close(told)
        ports.close()
        worker.ports = None
        self._events.register(worker.status, selectors.EVENT_READ)

    def _be(self, worker: _Worker, ports: Ports, told: int) -> NoReturn:
        """What the new process does, and all that it does."""
        code = FAILED
        try:
            self._leave_the_supervisor(worker)
            threading.Thread(target=_stop_when_it_ends, args=(self._life,), daemon=True).start()
            code = self._work(ports, partial(_tell, told))
        except KeyboardInterrupt:
            code = 128 + signal.SIGINT
        except Exception:  # noqa: BLE001  it must end here whatever happens
            traceback.print_exc()
        finally:
            try:
                _flush()
                logging.shutdown()  # it may wait for who reads it
            finally:
                os._exit(code)

    def _leave_the_supervisor(self, worker: _Worker) -> None:
        """Have nothing of it: a pipe ends when the last process that holds it does."""
        os.setsid()
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until it serves
        self._events.close()
        for fd in (self._wake, self._life_end, *(each.status for each in self._workers if each.status >= 0)):
            os.close(fd)
        for each in self._workers:
            if each is not worker and each.ports is not None:
                each.ports.close()


def _flush() -> None:
    """What was printed: a fork would have it twice, and the end of a process not at all."""
    for stream in filter(None, (sys.stdout, sys.stderr)):  # None of one that was closed from the start
        with suppress(OSError):
            stream.flush()


def _tell(fd: int, text: str) -> None:
    os.write(fd, text.encode())


def _stop_when_it_ends(fd: int) -> None:
    os.read(fd, 1)
    logger.warning("the supervisor is gone: stopping")
    os.kill(os.getpid(), signal.SIGTERM)


@contextmanager
def _wakeup() -> Iterator[int]:
    """A file descriptor that gives the number of each signal."""
    reader, writer = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    for number in (*STOPS, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writer)
    yield reader
    signal.set_wakeup_fd(-1)
