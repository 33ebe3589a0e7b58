"""A worker that is held at a request for as long as a test wishes, however slow the machine is."""

import contextlib
import os
import select
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from tests.support.wire import PATIENCE_S, Answer, Server, post

__all__ = ["HOLD", "PREDICT", "asking", "go_on", "held", "holding"]

PREDICT: Final = "/v1/models/toy/predict"
HOLD: Final = 674
"""First number of a row at which the fake model says `held`, and waits until it is told to go on."""


def asking(*row: float, rows: int = 1, n_samples: int = 16) -> dict[str, Any]:
    """A request to the fake model; one row is one unit, unless it asks for more samples."""
    return {"inputs": [row] * rows, "outputs": ["mean"], "n_samples": n_samples}


@contextlib.contextmanager
def held(server: Server) -> Iterator[Future[Answer]]:
    """While this lasts the worker is held at a request, whose answer comes behind it."""
    with ThreadPoolExecutor(1) as pool:
        asked = pool.submit(post, server, PREDICT, asking(HOLD, 0, 0))
        with holding(server):
            yield asked


@contextlib.contextmanager
def holding(server: Server) -> Iterator[None]:
    """The same of a request that was sent already."""
    output = server.process.stdout
    assert output is not None
    assert select.select([output], [], [], PATIENCE_S)[0], "no request holds the worker"
    assert output.readline() == "held\n"
    try:
        yield
    finally:
        go_on(server)


def go_on(server: Server) -> None:
    """Tell a model that is held to go on, or one that is broken for good to work again."""
    assert server.process.stdin is not None
    with contextlib.suppress(BrokenPipeError):  # the server has ended
        os.write(server.process.stdin.fileno(), b"\n")
