"""The real web room around a fake model, as a process: `python -m tests.service.fake_server`.

The fake doubles its inputs. The first number of a row is a command to it: 666 raises, 667 gives NaN, 668
blocks the worker for as many milliseconds as the second number says, once for each unit, 669 opens a socket,
670 gives no result, 671 has no memory, 672 ends the interpreter, 673 breaks it: it fails on everything as
many times as the second number says, or, of 0, until it is told to go on; 674 says `held` on standard output,
and waits until then. It is told by a byte on standard input.
"""

import math
import os
import select
import socket
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from typing import cast

import numpy as np
from mcdrop_service.execution import Lane, Task, dispatcher
from mcdrop_service.facts import Array, ModelFacts, PredictionAnswer, PredictionRequest
from mcdrop_service.scheduler import More, Ripe, Unit
from mcdrop_service.settings import Settings
from mcdrop_service.supervisor import Ports, Report, supervise
from mcdrop_service.telemetry import log_as_json
from mcdrop_service.web import Service, create_app, listening_socket, read_keys, serve_until_stopped, url_of

from tests.service.models import facts

RAISE, NAN, BLOCK, CONNECT, NOTHING, MEMORY, EXIT, BREAK, HOLD = range(666, 675)
TOLD = 0
"""Where it is told to go on: a byte stays until it is wanted, so that none comes too early."""
FORBIDDEN = ("socket.connect", "socket.getaddrinfo", "subprocess.Popen", "os.system", "pickle.find_class")


class FakeModel:
    """Doubles its inputs, or misbehaves on command."""

    def __init__(self, *, broken: bool) -> None:
        self.broken = broken
        self.failures: float = 0

    def warm_up(self) -> ModelFacts:
        """Tell the facts of the toy model, unless it is broken."""
        if self.broken:
            raise ValueError("nothing is random")
        return facts()

    def probe(self) -> None:
        """Zeros: no command."""
        self._fail_if_broken()

    def lane(self, request: PredictionRequest) -> Lane:
        """Four units to a batch, of any kind."""
        assert request.rows
        return Lane(capacity=4, tile=4, mixes=True)

    def run(self, units: Sequence[Unit]) -> Sequence[Array]:
        """Twice each row."""
        rows = [unit.payload.request.inputs["x"][unit.row] for unit in units]
        return [self._doubled(row) for row in rows if row[0] != NOTHING]

    def finish(self, ripe: Sequence[Ripe]) -> Sequence[PredictionAnswer | More]:
        """The rows of the first block as every output; if it is mortal, what no scheduler understands."""
        if "mortal" in sys.argv:
            return [More((0,), cast("int", "one"))]
        return [self._answer(its.payload, its.results) for its in ripe]

    def _answer(self, task: Task, results: Sequence[Array]) -> PredictionAnswer:
        request = task.request
        mean = np.stack(results[: request.rows])
        outputs = dict.fromkeys(request.outputs, mean)
        passes = request.rows * request.n_samples
        return PredictionAnswer(task.facts, request.n_samples, request.seed, outputs, passes=passes)

    def _doubled(self, row: Array) -> Array:
        command, argument, _ = row.tolist()
        if command == BREAK and not self.failures:
            self.failures = argument or math.inf
        self._fail_if_broken()
        if command == MEMORY:
            raise MemoryError
        if command == EXIT:
            sys.exit("a model that ends the interpreter")
        if command == RAISE:
            raise RuntimeError("secret of /home/operator/model.py")
        if command == BLOCK:
            threading.Event().wait(argument / 1000)
        if command == HOLD:
            sys.stdout.write("held\n")
            sys.stdout.flush()
            os.read(TOLD, 1)
        if command == CONNECT:
            with suppress(OSError):
                socket.create_connection(("127.0.0.1", 9)).close()
        return row.astype(np.float32) * np.float32(np.nan if command == NAN else 2)

    def _fail_if_broken(self) -> None:
        if self.failures == math.inf and select.select([TOLD], [], [], 0)[0]:
            os.read(TOLD, 1)
            self.failures = 0
        if self.failures:
            self.failures -= 1
            raise RuntimeError("the device is gone")


def _report(event: str, _arguments: tuple[object, ...]) -> None:
    if event in FORBIDDEN:
        sys.stderr.write(f"AUDIT {event}\n")


def work(settings: Settings, urls: str, ports: Ports, say: Report) -> int:
    """Serve until a signal comes; the exit code."""
    models = {"toy": [FakeModel(broken="broken" in sys.argv)]}
    service = Service.of(models, settings, keys=read_keys(settings.api_keys_file))
    if "impatient" in sys.argv:
        dispatcher.PATIENCE_S = 0.2
    if "audited" in sys.argv:
        sys.addaudithook(_report)
    app = create_app(service, on_ready=lambda: say(f"{urls}\n"))
    failure = serve_until_stopped(
        app, service=service, listener=ports.listener, supervised=settings.workers > 1
    )
    sys.stderr.write("" if failure is None else f"{failure}\n")
    return int(failure is not None)


def main() -> None:
    """Serve until a signal comes.

    Arguments: `broken`, a model that fails its warm-up; `mortal`, one of which the worker dies; `logging`,
    with the log; `audited`, on stderr a line for each event of `FORBIDDEN` that happens while it serves;
    `impatient`, one that hardly waits at its end for a worker that hangs.
    """
    settings = Settings(port=0)
    if "logging" in sys.argv:
        log_as_json(settings.log_level)
    ports = [Ports(listening_socket(settings.host, 0)) for _ in range(settings.workers)]
    numbers = [each.numbers[0] for each in ports]
    urls = " ".join(url_of(each.listener) for each in ports)
    say = partial(print, flush=True)
    if settings.workers == 1:
        sys.exit(work(settings, urls, ports[0], say))
    code = supervise(
        ports,
        partial(work, settings, urls),
        reopen=lambda number: Ports(listening_socket(settings.host, numbers[number])),
        say=say,
        patience_s=10.0,
    )
    sys.exit(code)


if __name__ == "__main__":
    main()
