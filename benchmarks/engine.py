"""Speed of the engine beside every other way to sample the same networks, and beside the floor.

    make bench-engine                    # with torch-uncertainty, baal and transformers, in .venv-peers
    python benchmarks/engine.py          # with those of them that are installed

One thread, 50 samples. Times are medians of the thread's own processor time over repetitions in which all
contenders take turns, in milliseconds: `mc.sample` with the masks of a repeated seed (warm) and of a new seed
(cold), and each rival. The floor is the time of the arithmetic alone. Before anything is timed, our samples
are compared with the plain loop over the same masks, and the spread of each rival is looked at: one that does
not vary has not sampled and is not timed; one marked * leaves some of the random calls off.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import argparse
import statistics
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import count
from typing import Any, Final

import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import mcdrop
from benchmarks.rivals.floor import floor_ms, matrix_rate
from benchmarks.rivals.networks import Case, base_bert, cases
from benchmarks.rivals.packages import baal_wrapper, torch_uncertainty, transformers
from benchmarks.rivals.ways import CACHE, IN_A_LOOP, WAYS, Sample, Way
from mcdrop.engine.operators import draws
from mcdrop.engine.sampling import Draw, sample_call

SAMPLES: Final = 50
LEAST_SECONDS: Final = 0.02
"""What short calls are repeated to: the first one after another contender's turn finds cold caches."""
NOT_VARYING: Final = 1e-7


@dataclass(frozen=True)
class Result:
    """One line of the table.

    Attributes:
        case: What was timed.
        ours: Milliseconds, `warm` and `cold`.
        floor: Milliseconds.
        rivals: Milliseconds, or why there are none.
        partial: Rivals that leave random calls off.
    """

    case: Case
    ours: Mapping[str, float]
    floor: float
    rivals: Mapping[str, float | str]
    partial: frozenset[str]

    def ratio(self, *, cache: bool) -> float | None:
        """To the fastest rival; with a bar of its own, baal's cache counts by itself."""
        apart = self.case.cache_bar is not None
        times = [
            ms
            for name, ms in self.rivals.items()
            if isinstance(ms, float) and (not apart or (name == CACHE) == cache)
        ]
        return min(times) / self.ours["warm"] if times else None


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--only", default="", help="part of the name of the cases to run")
    parser.add_argument(
        "--rivals", action="store_true", help="time the rivals alone, without us in the process"
    )
    options = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    console = Console(width=250)
    asked = (case for case in cases() if options.only in case.name)
    if options.rivals:
        console.print(rivals_alone(asked, options.repeats))
        return
    rate = matrix_rate()
    table = Table("model, batch", "warm", "cold", "floor", *WAYS, "ratio", "bar", "met", box=MARKDOWN)
    for case in asked:
        table.add_row(*_line(measure(case, rate, options.repeats)))
    console.print(table)
    console.print(f"{rate / 1e9:.0f} GFLOP/s in a product of matrices; torch {torch.__version__}")
    for name, package in (("torch-uncertainty", torch_uncertainty), ("baal", baal_wrapper)):
        if package is None:
            console.print(f"{name} is not installed; `make bench-engine` compares with it")
    console.print(first_call() if transformers else "BERT is left out: transformers is not installed")


def measure(case: Case, rate: float, repeats: int) -> Result:
    """All times of one case, after the checks."""
    mc = mcdrop.MCDropout(case.model, n_samples=SAMPLES)
    check_against_loop(mc, case.x, mc.sample(case.x))
    network = mc.plan.network
    rivals, refused, partial = _rivals(case, len(network.sites))
    seeds = count(1)
    contenders: dict[str, Callable[[], object]] = {
        "warm": lambda: mc.sample(case.x),
        "cold": lambda: mc.sample(case.x, seed=next(seeds)),
        **{name: _asked(sample, case.x) for name, sample in rivals.items()},
    }
    times = medians(contenders, repeats)
    floor = floor_ms(network, mc.as_call(case.x), SAMPLES, rate)
    ours = {name: times.pop(name) for name in ("warm", "cold")}
    return Result(case, ours, floor, {**refused, **times}, partial)


def rivals_alone(asked: Iterable[Case], repeats: int) -> Table:
    """Milliseconds of the rivals in a process in which we have made no plan, and kept no freed memory."""
    table = Table("model, batch", *WAYS, box=MARKDOWN)
    for case in asked:
        rivals, refused, _ = _rivals(case, 0)
        times = medians({name: _asked(sample, case.x) for name, sample in rivals.items()}, repeats)
        found: dict[str, float | str] = {**refused, **times}
        table.add_row(case.name, *(_cell(found[name]) for name in WAYS))
    return table


def check_against_loop(mc: mcdrop.MCDropout, x: Tensor, samples: Tensor) -> None:
    """Stop unless the samples are those of the plain loop over the same masks."""
    plan = replace(mc.plan.fast(len(x)), strategy="loop")
    (loop,) = sample_call(plan, mc.as_call(x), Draw(mc.seed, SAMPLES, mc.rng, None))
    assert (loop - samples).abs().max() <= 1e-5 * samples.abs().max().clamp(min=1)


def _rivals(case: Case, sites: int) -> tuple[dict[str, Sample], dict[str, str], frozenset[str]]:
    """Those that vary; why the others do not run; those that leave random calls off."""
    running: dict[str, Sample] = {}
    refused: dict[str, str] = {}
    partial: set[str] = set()
    for name, way in WAYS.items():
        try:
            sample, varies, calls = _looked_at(way, case)
        except (RuntimeError, ValueError, TypeError, AttributeError) as error:
            refused[name] = type(error).__name__
            continue
        if not varies:
            refused[name] = "zero variance"
            continue
        running[name] = sample
        if calls < sites * (SAMPLES if name in IN_A_LOOP else 1):
            partial.add(name)
    return running, refused, frozenset(partial)


def _looked_at(way: Way, case: Case) -> tuple[Sample, bool, int]:
    """A rival, whether its samples vary, and how many random calls it makes."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what baal did not find to patch: its variance tells
        sample = way(case.model, SAMPLES)
        with _RandomCalls() as calls:
            samples = sample(case.x)
    return sample, bool((samples.std(0) > NOT_VARYING).any()), calls.seen


class _RandomCalls(TorchDispatchMode):
    """Counts the random operators that run."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.seen = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.seen += draws(func, args, kwargs or {})
        return func(*args, **(kwargs or {}))


def _asked(sample: Sample, x: Tensor) -> Callable[[], object]:
    return lambda: sample(x)


def medians(contenders: Mapping[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Milliseconds of each, taking turns, after one run that does not count."""
    runs = {name: _runs(function) for name, function in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, function in contenders.items():
            times[name].append(seconds(function, runs[name]))
    return {name: statistics.median(taken) * 1e3 for name, taken in times.items()}


def _runs(function: Callable[[], object]) -> int:
    function()
    return max(1, round(LEAST_SECONDS / max(seconds(function, 1), 1e-6)))


def seconds(function: Callable[[], object], runs: int = 1) -> float:
    """Processor time of one run."""
    start = time.thread_time()
    for _ in range(runs):
        function()
    return (time.thread_time() - start) / runs


def first_call() -> str:
    """What finding the sites, verifying and choosing take, in passes of a single row of BERT's first size."""
    model, ids = base_bert()

    def one_pass() -> None:
        with torch.inference_mode():
            model(ids)

    one_pass()
    one = min(seconds(one_pass) for _ in range(3))
    mc = mcdrop.MCDropout(model, n_samples=SAMPLES)
    first = seconds(lambda: mc.trace(ids))
    return (
        f"first call, BERT of 12 layers and 768 wide, T = 128: {first / one:.1f} passes of a single row "
        f"({first:.2f} s; one pass {one * 1e3:.0f} ms); the bar is 20"
    )


def _line(result: Result) -> list[str]:
    ours = [f"{result.ours[name]:.2f}" for name in ("warm", "cold")]
    rivals = [_cell(result.rivals[name]) + "*" * (name in result.partial) for name in WAYS]
    bars = [(result.ratio(cache=False), result.case.bar)]
    if result.case.cache_bar is not None:
        bars.append((result.ratio(cache=True), result.case.cache_bar))
    known = [(ratio, bar) for ratio, bar in bars if ratio is not None]
    return [
        result.case.name,
        *ours,
        f"{result.floor:.2f}",
        *rivals,
        " / ".join(f"{ratio:.2f}x" for ratio, _ in known),
        " / ".join(f"{bar:g}x" for _, bar in known),
        " / ".join("yes" if ratio >= bar else "NO" for ratio, bar in known),
    ]


def _cell(time_or_reason: float | str) -> str:
    return time_or_reason if isinstance(time_or_reason, str) else f"{time_or_reason:.2f}"


if __name__ == "__main__":
    main()
