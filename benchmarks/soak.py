"""Many requests of all kinds: memory and open files must stay as they are.

    make soak                                               # 100 000 requests, some minutes
    python benchmarks/soak.py --requests 660 --filling 0    # as in the gate

First the cache of masks is filled, by requests of many samples with seeds of their own. Then come good and
bad requests in a fixed random order, with seeds that repeat and seeds that do not, one row and many, clients
that go away in the middle, new connections and old ones. Resident memory and file descriptors are looked at
twelve times; it exits with 1 if they still grow in the last third. It sees 0.5 kB that each of 100 000
requests leaves behind, and 70 kB of each of 660.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import argparse
import json
import random
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import fmean
from typing import Final

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from benchmarks.servers.load import in_turns, post_request, wait_for_answer
from benchmarks.servers.processes import Process, free_port, running

ROOT: Final = Path(__file__).parents[1]
LOOKS: Final = 12
CONNECTIONS: Final = 8
PIECE_S: Final = 600.0
MOST_GROWTH_MB: Final = 8.0
"""Between two sixths of the requests: the allocator's own breathing is a few megabytes."""
FILLING: Final = 600
"""Requests of the most samples that fill the cache of masks: 256 kB each, of 64 MB."""
PREDICT: Final = "/v1/models/diabetes/predict"
ROW: Final = [59, 2, 32.1, 101, 157, 93.2, 38, 4, 4.8598, 87]


def bodies(generator: random.Random) -> Iterator[bytes]:
    """Requests without end, most of them good."""
    while True:
        rows = [ROW] * generator.choice([1, 1, 1, 3, 20])
        asked = {
            "inputs": rows,
            "n_samples": generator.choice([2, 16, 30, 64]),
            "seed": generator.choice([0, 1, generator.getrandbits(62)]),
            "outputs": generator.choice([["mean"], ["mean", "std"], ["samples"]]),
        }
        kind = generator.random()
        if kind < 0.05:
            asked["inputs"] = [[1, 2, 3]]
        elif kind < 0.1:
            asked["quantiles"] = [0.05, 0.95]
        elif kind < 0.13:
            yield b'{"inputs": [[' + b"1," * generator.randrange(40_000) + b"1]]}"
            continue
        yield json.dumps(asked).encode()


def filling(generator: random.Random) -> Iterator[bytes]:
    """Requests without end, each of which has masks that no other has."""
    while True:
        yield json.dumps({"inputs": [ROW], "n_samples": 1024, "seed": generator.getrandbits(62)}).encode()


def fill(process: Process, requests: int) -> None:
    """Fill the cache of masks."""
    stream = (post_request(PREDICT, body) for body in filling(random.Random(1)))  # noqa: S311
    in_turns(process.port, stream, connections=CONNECTIONS, count=requests, seconds=PIECE_S)


def growth(looks: Sequence[float]) -> float:
    """How much larger the mean of the last sixth of some looks is than that of the sixth before."""
    sixth = len(looks) // 6
    return fmean(looks[-sixth:]) - fmean(looks[-2 * sixth : -sixth])


def steady(memory: Sequence[float], files: Sequence[int]) -> bool:
    """Whether nothing grows in the last third.

    Args:
        memory: Megabytes at each look.
        files: Open files.
    """
    sixth = len(files) // 6
    return growth(memory) < MOST_GROWTH_MB and max(files[-sixth:]) <= max(files[-2 * sixth : -sixth])


def soak(process: Process, requests: int, console: Console) -> bool:
    """Whether nothing grew, and nearly all was answered."""
    stream = (post_request(PREDICT, body) for body in bodies(random.Random(0)))  # noqa: S311  reproducible, not secret
    table = Table("requests", "answers by status", "resident MB", "open files", box=MARKDOWN)
    statuses: Counter[int] = Counter()
    memory, files = [], []
    for look in range(LOOKS):
        count = requests // LOOKS
        seen = in_turns(process.port, stream, connections=CONNECTIONS, count=count, seconds=PIECE_S, cut=0.01)
        statuses += seen.statuses
        memory.append(process.megabytes)
        files.append(process.open_files)
        table.add_row(str(statuses.total()), _in_words(statuses), f"{memory[look]:.1f}", str(files[look]))
    console.print(table)
    well = steady(memory, files)
    said = f"{'steady' if well else 'growing'}: memory {growth(memory):+.1f} MB from the last sixth but one"
    console.print(f"{said} to the last (at most {MOST_GROWTH_MB:.0f})")
    return well and statuses[200] > 0.8 * statuses.total() and not statuses[500]


def _in_words(statuses: Counter[int]) -> str:
    names = {0: "cut"}
    return ", ".join(f"{names.get(status, status)}: {n}" for status, n in sorted(statuses.items()))


def main() -> None:
    """Start the service on the shipped models, and soak it."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--requests", type=int, default=100_000)
    parser.add_argument(
        "--filling", type=int, default=FILLING, help="requests before, to fill the cache of masks"
    )
    parser.add_argument("--max-mask-bytes", type=int, default=2**26, help="as `mcdrop serve` takes it")
    arguments = parser.parse_args()
    console = Console(width=120)
    port = free_port()
    command = [str(Path(sys.executable).with_name("mcdrop")), "serve", str(ROOT / "models")]
    options = ["--port", str(port), "--models", "diabetes", "--log-level", "warning"]
    options += ["--max-mask-bytes", str(arguments.max_mask_bytes)]
    cores = sorted(os.sched_getaffinity(0))
    with running([*command, *options], port, {}, cores=cores) as process:
        wait_for_answer(port, post_request(PREDICT, json.dumps({"inputs": [ROW]}).encode()))
        ready_mb = process.megabytes
        fill(process, arguments.filling)
        console.print(f"resident: {ready_mb:.0f} MB when ready, {process.megabytes:.0f} when filled")
        well = soak(process, arguments.requests, console)
    sys.exit(0 if well else 1)


if __name__ == "__main__":
    main()
