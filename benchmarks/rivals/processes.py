"""Rivals in processes of their own, each asked through a pipe for one timed round at a time.

A plan of ours lets glibc keep freed memory (`keep_freed_memory`), which spares page faults to all that runs
in the process. Users of a rival pay for them, and so does the rival here, unless it is told to keep memory
too. The processes are forked from one that has imported everything and computed nothing.
"""

import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection
from typing import Any, Final

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.rivals.networks import Case, case_named
from benchmarks.rivals.ways import WAYS, Sample
from mcdrop.engine.footprint import keep_freed_memory
from mcdrop.engine.operators import draws

__all__ = ["Rival", "rivals", "seconds"]

_NOT_VARYING: Final = 1e-7
_FORKED = get_context("forkserver")
_FORKED.set_forkserver_preload(["__main__", __name__])


@dataclass(frozen=True)
class Rival:
    """One way to sample one network.

    Attributes:
        calls: How many random calls it makes.
        refused: Why there is nothing to time; empty if there is.
        pipe: To its process.
    """

    calls: int
    refused: str
    pipe: Connection

    def seconds(self, runs: int) -> float:
        """Processor time of one run, the mean of so many."""
        self.pipe.send(runs)
        taken: float = self.pipe.recv()
        return taken


@contextmanager
def rivals(case: str, samples: int, *, keep_memory: bool = False) -> Iterator[dict[str, Rival]]:
    """Every way to sample a network, by name; their processes live as long as the context.

    Args:
        case: Name of the network.
        samples: S.
        keep_memory: Whether glibc keeps freed memory there too.
    """
    with ExitStack() as stack:
        yield {way: stack.enter_context(_rival(way, case, samples, keep_memory=keep_memory)) for way in WAYS}


def seconds(function: Callable[[], object], runs: int = 1) -> float:
    """Processor time of this thread for one run, the mean of so many."""
    start = time.thread_time()
    for _ in range(runs):
        function()
    return (time.thread_time() - start) / runs


@contextmanager
def _rival(way: str, case: str, samples: int, *, keep_memory: bool) -> Iterator[Rival]:
    here, there = _FORKED.Pipe()
    process = _FORKED.Process(
        target=_answer, args=(there, way, case, samples), kwargs={"keep_memory": keep_memory}, daemon=True
    )
    process.start()
    there.close()
    try:
        calls, refused = here.recv()
        yield Rival(calls, refused, here)
    finally:
        here.close()
        process.join()


def _answer(pipe: Connection, way: str, case: str, samples: int, *, keep_memory: bool) -> None:
    """What the process of a rival does: a look at it, then the rounds that it is asked for."""
    torch.set_num_threads(1)
    if keep_memory:
        keep_freed_memory()
    chosen = case_named(case)
    try:
        sample, calls, varies = _looked_at(way, chosen, samples)
        refused = "" if varies else "zero variance"
    except (RuntimeError, ValueError, TypeError, AttributeError) as error:
        calls, refused = 0, type(error).__name__
    pipe.send((calls, refused))
    try:
        while True:
            pipe.send(seconds(lambda: sample(chosen.x), pipe.recv()))
    except EOFError:
        return


def _looked_at(way: str, case: Case, samples: int) -> tuple[Sample, int, bool]:
    """A rival, how many random calls it makes, and whether its samples vary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what baal did not find to patch: its variance tells
        sample = WAYS[way](case.model, samples)
        with _RandomCalls() as random_calls:
            found = sample(case.x)
    return sample, random_calls.seen, bool((found.std(0) > _NOT_VARYING).any())


class _RandomCalls(TorchDispatchMode):
    """Counts the random operators that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += draws(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))
