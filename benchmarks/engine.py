"""Speed of the engine beside every other way to sample the same networks, and beside the floor.

    make bench-engine                    # with torch-uncertainty, baal and transformers, in .venv-peers
    python benchmarks/engine.py          # with those of them that are installed

One thread, 50 samples. Times are medians of processor time over repetitions in which all contenders take
turns, each in a process of its own, in milliseconds: `mc.sample` with the masks of a repeated seed (warm) and
of a new seed (cold), and each rival. The floor is the time of the arithmetic alone. Before anything is timed,
our samples are compared with the plain loop over the same masks, and the spread of each rival is looked at:
one that does not vary has not sampled and is not timed; one marked * leaves some of the random calls off.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import argparse
import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from typing import Final

import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from torch import Tensor

import mcdrop
from benchmarks.rivals.floor import floor_ms, matrix_rate
from benchmarks.rivals.networks import Case, base_bert, cases
from benchmarks.rivals.packages import baal_wrapper, torch_uncertainty, transformers
from benchmarks.rivals.processes import Rival, rivals, seconds
from benchmarks.rivals.ways import CACHE, IN_A_LOOP, WAYS
from mcdrop.engine.sampling import Draw, sample_call

SAMPLES: Final = 50
LEAST_SECONDS: Final = 0.02
"""What short calls are repeated to: the first one after another contender's turn finds cold caches."""
OURS: Final = ("warm", "cold")


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
    parser.add_argument("--keep-memory", action="store_true", help="in the processes of the rivals too")
    options = parser.parse_args()
    torch.set_num_threads(1)
    console = Console(width=250)
    rate = matrix_rate()
    table = Table("model, batch", *OURS, "floor", *WAYS, "ratio", "bar", "met", box=MARKDOWN)
    for case in cases():
        if options.only in case.name:
            table.add_row(*_line(measure(case, rate, options.repeats, keep_memory=options.keep_memory)))
    console.print(table)
    console.print(f"{rate / 1e9:.0f} GFLOP/s in a product of matrices; torch {torch.__version__}")
    for name, package in (("torch-uncertainty", torch_uncertainty), ("baal", baal_wrapper)):
        if package is None:
            console.print(f"{name} is not installed; `make bench-engine` compares with it")
    console.print(first_call() if transformers else "BERT is left out: transformers is not installed")


def measure(case: Case, rate: float, repeats: int, *, keep_memory: bool) -> Result:
    """All times of one case, after the checks."""
    mc = mcdrop.MCDropout(case.model, n_samples=SAMPLES)
    check_against_loop(mc, case.x, mc.sample(case.x))
    network, seeds = mc.plan.network, count(1)
    ours = {
        "warm": partial(seconds, lambda: mc.sample(case.x)),
        "cold": partial(seconds, lambda: mc.sample(case.x, seed=next(seeds))),
    }
    with rivals(case.name, SAMPLES, keep_memory=keep_memory) as others:
        refused = {name: rival.refused for name, rival in others.items() if rival.refused}
        running = {name: rival for name, rival in others.items() if name not in refused}
        times = medians({**ours, **{name: rival.seconds for name, rival in running.items()}}, repeats)
    return Result(
        case,
        {name: times.pop(name) for name in OURS},
        floor_ms(network, mc.as_call(case.x), SAMPLES, rate),
        {**refused, **times},
        frozenset(name for name, rival in running.items() if _leaves_off(name, rival, len(network.sites))),
    )


def check_against_loop(mc: mcdrop.MCDropout, x: Tensor, samples: Tensor) -> None:
    """Stop unless the samples are those of the plain loop over the same masks."""
    plan = replace(mc.plan.fast(len(x)), strategy="loop")
    (loop,) = sample_call(plan, mc.as_call(x), Draw(mc.seed, SAMPLES, mc.rng, None))
    assert (loop - samples).abs().max() <= 1e-5 * samples.abs().max().clamp(min=1)


def medians(contenders: Mapping[str, Callable[[int], float]], repeats: int) -> dict[str, float]:
    """Milliseconds of each, taking turns.

    Args:
        contenders: By name, functions of a number of runs: seconds of one of them.
        repeats: How many turns.
    """
    runs = {name: _runs(contender) for name, contender in contenders.items()}
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(repeats):
        for name, contender in contenders.items():
            times[name].append(contender(runs[name]))
    return {name: statistics.median(taken) * 1e3 for name, taken in times.items()}


def _runs(contender: Callable[[int], float]) -> int:
    if contender(1) >= LEAST_SECONDS:
        return 1
    return max(1, round(LEAST_SECONDS / max(contender(1), 1e-6)))


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


def _leaves_off(way: str, rival: Rival, sites: int) -> bool:
    """Whether a rival makes fewer random calls than we found."""
    return rival.calls < sites * (SAMPLES if way in IN_A_LOOP else 1)


def _line(result: Result) -> list[str]:
    ours = [f"{result.ours[name]:.2f}" for name in OURS]
    others = [_cell(result.rivals[name]) + "*" * (name in result.partial) for name in WAYS]
    bars = [(result.ratio(cache=False), result.case.bar)]
    if result.case.cache_bar is not None:
        bars.append((result.ratio(cache=True), result.case.cache_bar))
    known = [(ratio, bar) for ratio, bar in bars if ratio is not None]
    return [
        result.case.name,
        *ours,
        f"{result.floor:.2f}",
        *others,
        " / ".join(f"{ratio:.2f}x" for ratio, _ in known),
        " / ".join(f"{bar:g}x" for _, bar in known),
        " / ".join("yes" if ratio >= bar else "NO" for ratio, bar in known),
    ]


def _cell(time_or_reason: float | str) -> str:
    return time_or_reason if isinstance(time_or_reason, str) else f"{time_or_reason:.2f}"


if __name__ == "__main__":
    main()
