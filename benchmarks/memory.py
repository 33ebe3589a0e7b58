"""Does a prediction stay below its memory budget? Prints the peak beside the budget, for models of all kinds.

    python benchmarks/memory.py            # some minutes
    python benchmarks/memory.py --quick    # 2,000 rows in place of 100,000

Each case runs in a process of its own. *peak* is the most resident memory during `predict`, results and the
first call's tracing and checks included, less what was resident before (model, inputs, libraries and one
prediction of another model). *none* has the default budget: a quarter of what is free, at most 2 GiB.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from mcdrop import MCDropout
from mcdrop.engine.budget import Budget, Load

MIB = 2**20


@dataclass(frozen=True)
class Case:
    """A model, its rows, and what a prediction of them is asked for.

    Attributes:
        name: Of the case.
        model: Makes the model.
        shape: Of one row.
        rows: N.
        samples: S.
        budgets: MiB; None for the default.
        options: Of `predict`.
        masks: Of the rows: `consistent` or `independent`.
    """

    name: str
    model: Callable[[], nn.Module]
    shape: tuple[int, ...]
    rows: int
    samples: int
    budgets: tuple[int | None, ...]
    options: dict[str, Any] = field(default_factory=dict)
    masks: str = "consistent"


class Attention(nn.Module):
    """Encoder layers of 8 heads and dropout everywhere: the masks of its attention are large."""

    def __init__(self, layers: int = 2) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(128, 8, 256, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, layers)
        self.head = nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 128) -> (N, 5)."""
        out: Tensor = self.head(self.encoder(x).mean(1))
        return out


def mlp() -> nn.Module:
    """Two hidden layers of 32."""
    first = [nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*first, nn.Linear(32, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 5))


def stochastic_cnn() -> nn.Module:
    """Drops whole channels after each convolution."""
    blocks = [
        layer
        for channels in ((3, 32), (32, 64), (64, 64))
        for layer in (nn.Conv2d(*channels, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.1))
    ]
    return nn.Sequential(*blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10))


def segmenter() -> nn.Module:
    """21 numbers for each of 128 x 128 pixels."""
    return nn.Sequential(nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Dropout2d(0.2), nn.Conv2d(32, 21, 1))


def cases(rows: int) -> list[Case]:
    """All of them."""
    quantiles = {"quantiles": [0.05, 0.95]}
    automatic = {"n_samples": "auto", "tolerance": 0.01, "max_samples": 256}
    return [
        Case("MLP", mlp, (16,), rows, 1000, (64, None)),
        Case("MLP, 2 quantiles", mlp, (16,), rows // 10, 1000, (128,), quantiles),
        Case("MLP, samples kept", mlp, (16,), rows // 10, 1000, (384,), {"keep_samples": True}),
        Case("MLP, n_samples=auto", mlp, (16,), rows, 256, (128,), automatic),
        Case("CNN, stochastic everywhere", stochastic_cnn, (3, 64, 64), 8, 32, (96, 192, None)),
        Case("segmentation", segmenter, (3, 128, 128), 4, 32, (512, 1024, None)),
        Case("attention, T = 256", Attention, (256, 128), 4, 32, (512, 1024, None)),
        Case("attention, T = 512", Attention, (512, 128), 2, 32, (1024, 2048, None)),
        Case("attention, T = 256, own masks", Attention, (256, 128), 4, 32, (512, 1024), masks="independent"),
    ]


def main() -> None:
    """Run every case and print the table, or one case and print its numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--only", default="", help="cases whose name begins so")
    parser.add_argument("--case", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--budget", type=int, default=0, help=argparse.SUPPRESS)
    given = parser.parse_args()
    rows = 2_000 if given.quick else 100_000
    if given.case is not None:
        print(json.dumps(measured(cases(rows)[given.case], given.budget or None)))
        return
    print(f"{'':<32}{'':>14}{'MiB':>8}{'MiB':>7}{'':>12}{'':>10}")
    print(f"{'model':<32}{'N':>8}{'S':>6}{'budget':>8}{'peak':>7}{'tile':>12}{'strategy':>10}{'seconds':>9}")
    for index, case in enumerate(cases(rows)):
        if case.name.startswith(given.only):
            for budget in case.budgets:
                print(line(case, budget, index, quick=given.quick), flush=True)


def line(case: Case, budget: int | None, index: int, *, quick: bool) -> str:
    """One line of the table."""
    command = [sys.executable, __file__, "--case", str(index), "--budget", str(budget or 0)]
    finished = subprocess.run(  # noqa: S603
        [*command, *["--quick"] * quick], capture_output=True, text=True, check=False
    )
    head = f"{case.name:<32}{case.rows:>8}{case.samples:>6}{budget or 'none':>8}"
    if finished.returncode:
        return f"{head}   {finished.stderr.strip().splitlines()[-1]}"
    found = json.loads(finished.stdout)
    peak = found["peak"] / MIB
    over = "" if budget is None or peak <= budget else "  OVER"
    return f"{head}{peak:>7.0f}{found['tile']:>12}{found['strategy']:>10}{found['seconds']:>9.1f}{over}"


def measured(case: Case, budget: int | None) -> dict[str, Any]:
    """Run one case in this process."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    MCDropout(mlp().eval(), task="classification").predict(torch.randn(3, 16), n_samples=32)
    mc = MCDropout(case.model().eval(), task="classification", masks=case.masks)
    x = torch.randn(case.rows, *case.shape)
    limit = None if budget is None else budget * MIB
    options = {"n_samples": case.samples, "keep_samples": None, **case.options}
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
    before, start = resident("VmRSS"), time.perf_counter()
    pred = mc.predict(x, memory_budget=limit, **options)
    seconds = time.perf_counter() - start
    assert bool((pred.std > 0).any())
    plan = Budget(limit).fitted(mc.plan.fast(case.rows), mc.plan.footprint, Load())
    return {
        "peak": resident("VmHWM") - before,
        "tile": f"{plan.rows} x {16 * plan.blocks}",
        "strategy": plan.strategy,
        "seconds": seconds,
    }


def resident(field_name: str) -> int:
    """Bytes that this process holds in memory (VmRSS), or held at most (VmHWM)."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field_name))


if __name__ == "__main__":
    main()
