"""Where the time of a request alone goes: when each stage of it is done, on this machine alone.

    .venv-servers/bin/python benchmarks/stages.py            # the MLP of benchmarks/service.py
    .venv-servers/bin/python benchmarks/stages.py digits

The service runs in this process, on the first core, with a clock around the functions at which a stage ends;
each look at it takes some tenths of a microsecond. One connection asks from the last core.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import argparse
import signal
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import Executor, ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from threading import Thread
from typing import Any, Final

import numpy as np
import torch
from mcdrop_service.execution import Repository
from mcdrop_service.execution.dispatcher import Dispatcher
from mcdrop_service.execution.post import Post
from mcdrop_service.execution.runner import Runner
from mcdrop_service.settings import Settings
from mcdrop_service.telemetry import log_as_json
from mcdrop_service.web import Service, create_app, listening_socket, serve_until_stopped
from mcdrop_service.web.plain_form import PlainForm
from mcdrop_service.web.protocol import GuardedProtocol
from mcdrop_service.web.watch import Watch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.servers.contenders import contenders
from benchmarks.servers.load import in_turns, post_request
from benchmarks.servers.processes import take_core
from benchmarks.service import MANY, make_checkpoints
from mcdrop.blocks import ExactBlocks
from mcdrop.engine.straight import StraightLine

FIRST: Final = "the bytes are read"
STAGES: Final[tuple[tuple[str, type, str, bool], ...]] = (
    (FIRST, GuardedProtocol, "data_received", True),
    ("HTTP is parsed, a task is made", GuardedProtocol, "data_received", False),
    ("the route is found, the body taken", PlainForm, "parse", True),
    ("JSON is parsed and checked", PlainForm, "parse", False),
    ("the job is described", Dispatcher, "_submit", True),
    ("the job is taken on", Dispatcher, "_submit", False),
    ("the worker is awake", Dispatcher, "_chosen", True),
    ("a batch is chosen", Runner, "run_batch", True),
    ("the rows are prepared", ExactBlocks, "run", True),
    ("the written block and its masks are found", StraightLine, "run", True),
    ("the block is computed", StraightLine, "run", False),
    ("its results are noted", Runner, "finish", True),
    ("they are reduced to outputs", ExactBlocks, "outputs", False),
    ("the answer is made", Runner, "finish", False),
    ("the books are kept", Post, "send", True),
    ("the event loop is awake", Post, "_make_calls", True),
    ("the request goes on", PlainForm, "encode", True),
    ("JSON is written", PlainForm, "encode", False),
    ("a head is written", GuardedProtocol, "write", True),
    ("the answer is sent", GuardedProtocol, "write", False),
    ("it is noted as ended", Watch, "_ended", False),
)
"""What is so, and the method of which a call begins then, or ends."""
SECONDS: Final = 5.0

Stamps = list[tuple[str, int]]


def stamp(stamps: Stamps, what: str, owner: type, method: str, *, before: bool) -> None:
    """Note the time at which a call of a method begins, or ends."""
    inner: Callable[..., Any] = getattr(owner, method)

    def stamped(*args: Any, **kwargs: Any) -> Any:
        if before:
            stamps.append((what, time.perf_counter_ns()))
        result = inner(*args, **kwargs)
        if not before:
            stamps.append((what, time.perf_counter_ns()))
        return result

    setattr(owner, method, stamped)


def since_the_first(stamps: Stamps) -> dict[str, float]:
    """Median microseconds from the first stage of a request to each other, the first time that it comes."""
    found: dict[str, list[int]] = {}
    began, seen = 0, set[str]()
    for what, at in stamps:
        if what == FIRST:
            began, seen = at, set()
        if began and what not in seen:
            seen.add(what)
            found.setdefault(what, []).append(at - began)
    return {what: float(np.median(times)) / 1000 for what, times in found.items()}


def ask(port: int, request: bytes) -> float:
    """The client's median in milliseconds, from the last core."""
    os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})
    in_turns(port, request, connections=1, count=MANY, seconds=1)
    return in_turns(port, request, connections=1, count=MANY, seconds=SECONDS).quantile_ms(0.5)


def table(times: dict[str, float], p50_ms: float) -> Table:
    """A line for each stage, in the order in which they are done."""
    found = Table("then", "after us", "at us", box=MARKDOWN)
    last = 0.0
    for what, at in sorted(times.items(), key=lambda pair: pair[1]):
        found.add_row(what, f"{at - last:.0f}", f"{at:.0f}")
        last = at
    found.add_row("the client has it (p50)", "", f"{p50_ms * 1000:.0f}")
    return found


def main() -> None:
    """Serve, ask and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="mlp", choices=("mlp", "digits"))
    model = parser.parse_args().model
    with (
        ProcessPoolExecutor(1, mp_context=get_context("spawn")) as client,
        tempfile.TemporaryDirectory() as place,
    ):
        client.submit(int).result()  # it starts before this process is bound to one core
        servers = take_core()
        os.sched_setaffinity(0, servers)
        torch.set_num_threads(1)
        measure(Path(place), model, client)


def measure(directory: Path, model: str, client: Executor) -> None:
    """Serve until the client has asked for long enough, and print."""
    row = make_checkpoints(directory)[model]
    ours = next(iter(contenders(directory, model)))
    repository = Repository(directory, (), ("benchmarks",), None)
    settings = Settings(port=0, drain_delay_ms=0)
    log_as_json("warning")
    service = Service.of(repository.load_all(), settings, repository=repository)
    listener = listening_socket(settings.host, settings.port)
    port, request = listener.getsockname()[1], post_request(ours.path, ours.body([row]))
    stamps: Stamps = []
    for stage in STAGES:
        stamp(stamps, *stage[:3], before=stage[3])

    def ask_then_stop() -> None:
        p50_ms = client.submit(ask, port, request).result()
        Console(width=100).print(table(since_the_first(stamps[len(stamps) // 2 :]), p50_ms))
        os.kill(os.getpid(), signal.SIGTERM)

    app = create_app(service, on_ready=Thread(target=ask_then_stop).start)
    serve_until_stopped(app, service=service, listener=listener)


if __name__ == "__main__":
    main()
