"""The figure of docs/performance.md: what a call costs over samples, rows, depth of the first site, row tile.

    python docs/figures/cost.py     # writes docs/figures/cost.svg, in half a minute

Least processor time of a few runs on one thread, with masks that were drawn before.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

import mcdrop
from mcdrop.engine.sampling import Draw, sample_call

BLUE, INK = "#3366cc", "#222222"
SAMPLES: Final = 64
DEPTH: Final = 8
WIDTH: Final = 256


def network(sites_from: int) -> nn.Sequential:
    """Eight linear layers of 256 units, with dropout behind each from number `sites_from` on."""
    layers: list[nn.Module] = []
    for depth in range(DEPTH):
        layers += [nn.Linear(WIDTH, WIDTH), nn.ReLU()]
        layers += [nn.Dropout(0.2)] * (depth >= sites_from)
    return nn.Sequential(*layers).eval()


def milliseconds(run: Callable[[], object]) -> float:
    """The least of five, after one that does not count."""
    run()
    times = []
    for _ in range(5):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times) * 1e3


def sampling(rows: int, samples: int, sites_from: int = 0) -> float:
    """Milliseconds of a call."""
    mc = mcdrop.MCDropout(network(sites_from), n_samples=samples)
    x = _rows(rows)
    return milliseconds(lambda: mc.sample(x))


def tiled(tile: int, rows: int = 64) -> float:
    """Milliseconds with so many rows in a tile."""
    mc = mcdrop.MCDropout(network(0), n_samples=SAMPLES)
    x = _rows(rows)
    mc.trace(x)
    plan = replace(mc.plan.fast(rows), rows=tile, blocks=1)
    draw = Draw(0, SAMPLES, "philox-1", None)
    return milliseconds(lambda: sample_call(plan, mc.as_call(x), draw))


def _rows(rows: int) -> Tensor:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(0))


def main() -> None:
    """Measure and draw."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    mpl.rcParams["svg.hashsalt"] = "mcdrop"
    figure = Figure(figsize=(9, 2.6), layout="constrained")
    axes = figure.subplots(1, 4)
    powers = [2**k for k in range(4, 10)]
    _panel(axes[0], "samples S (16 rows)", powers, [sampling(16, s) for s in powers])
    rows = [2**k for k in range(9)]
    _panel(axes[1], f"rows N (S = {SAMPLES})", rows, [sampling(n, SAMPLES) for n in rows])
    depths = list(range(DEPTH))
    _panel(
        axes[2], "layers before the first site", depths, [sampling(16, SAMPLES, d) for d in depths], log=False
    )
    tiles = [2**k for k in range(7)]
    _panel(axes[3], "rows of a tile (64 rows)", tiles, [tiled(tile) for tile in tiles])
    axes[0].set_ylabel("milliseconds", color=INK)
    path = Path(__file__).with_name("cost.svg")
    figure.savefig(path, metadata={"Date": None})
    print(f"wrote {path}")


def _panel(axes: Axes, label: str, x: list[int], y: list[float], *, log: bool = True) -> None:
    axes.plot(x, y, "o-", color=BLUE, markersize=3, linewidth=1.2)
    if log:
        axes.set_xscale("log", base=2)
        axes.set_yscale("log")
    else:
        axes.set_ylim(bottom=0)
    axes.set_xlabel(label, color=INK, fontsize=8)
    axes.tick_params(labelsize=7)
    axes.spines[["top", "right"]].set_visible(False)


if __name__ == "__main__":
    main()
