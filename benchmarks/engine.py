"""Speed of the engine beside the loop and the replication that users write by hand.

    OMP_NUM_THREADS=1 MKL_CBWR=AUTO,STRICT python benchmarks/engine.py

One thread, 50 samples. For each model: milliseconds of `mc.sample` with the masks of a repeated seed (warm)
and of a new seed (cold), of the naive loop (train mode, one pass for each sample) and of replication (each
row 50 times in one batch), the ratio to the faster of the two, and the time of the first call (trace,
verification, choice of strategy). Before anything is timed, our samples are compared with the plain loop over
the same masks, and the spread of the hand-written loops is checked not to be zero.
"""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import pairwise

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

import mcdrop
from mcdrop.sampling import Draw, sample_tile, tiles

SAMPLES = 50
REPEATS = 5


def mlp(*widths: int, p: float) -> nn.Sequential:
    """Linear layers with ReLU and dropout between them."""
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths[:-1]):
        layers += [nn.Linear(inputs, outputs), nn.ReLU(), nn.Dropout(p)]
    return nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1]))


def cnn(*, channel_p: float) -> nn.Sequential:
    """Three convolutions on 3 x 32 x 32; dropout in the head, and on the channels if `channel_p` is not 0."""
    blocks: list[nn.Module] = []
    for inputs, outputs, pool in ((3, 32, False), (32, 64, True), (64, 64, True)):
        blocks += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU()]
        blocks += [nn.Dropout2d(channel_p)] * (channel_p > 0) + [nn.MaxPool2d(2)] * pool
    return nn.Sequential(
        *blocks, nn.Flatten(), nn.Linear(64 * 64, 128), nn.ReLU(), nn.Dropout(0.5), nn.Linear(128, 10)
    )


class Encoder(nn.Module):
    """A TransformerEncoder of 4 layers with a linear head on the mean token."""

    def __init__(self) -> None:
        super().__init__()
        layer = nn.TransformerEncoderLayer(64, 4, 128, dropout=0.1, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4)
        self.head = nn.Linear(64, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 64) -> (N, 5)."""
        out: Tensor = self.head(self.encoder(x).mean(1))
        return out


class Recurrent(nn.Module):
    """An LSTM of 2 layers with a linear head on the last step."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(32, 128, 2, dropout=0.3, batch_first=True)
        self.head = nn.Linear(128, 5)

    def forward(self, x: Tensor) -> Tensor:
        """(N, T, 32) -> (N, 5)."""
        out: Tensor = self.head(self.lstm(x)[0][:, -1])
        return out


def cases() -> dict[str, tuple[nn.Module, Tensor, float]]:
    """Model, input and the least ratio that we want, by name."""
    image, small, tokens = partial(torch.randn, 16, 3, 32, 32), torch.randn(256, 32), torch.randn(16, 32, 64)
    head = cnn(channel_p=0)
    narrow = mlp(32, 256, 256, 10, p=0.3)
    return {
        "CNN, dropout in its head, 1": (head, image()[:1], 10),
        "CNN, dropout in its head, 16": (head, image(), 25),
        "MLP 32-256-256-10, 1": (narrow, small[:1], 0.9),
        "MLP 32-256-256-10, 256": (narrow, small, 2),
        "MLP 256-1024-1024-10, p=.5, 64": (mlp(256, 1024, 1024, 10, p=0.5), torch.randn(64, 256), 2),
        "TransformerEncoder, 4 layers, 16": (Encoder(), tokens, 2.5),
        "LSTM, 2 layers, 16": (Recurrent(), torch.randn(16, 50, 32), 1.5),
        "CNN, stochastic everywhere, 16": (cnn(channel_p=0.2), image(), 0.9),
    }


def naive_loop(model: nn.Module, x: Tensor) -> Tensor:
    """(S, N, ...) by one pass in train mode for each sample."""
    model.train()
    with torch.inference_mode():
        samples = [model(x) for _ in range(SAMPLES)]
    model.eval()
    return torch.stack(samples)


def replication(model: nn.Module, x: Tensor) -> Tensor:
    """(S, N, ...) by one pass over S copies of the rows."""
    model.train()
    with torch.inference_mode():
        out: Tensor = model(x.repeat(SAMPLES, *[1] * (x.dim() - 1)))
    model.eval()
    return out.reshape(SAMPLES, len(x), *out.shape[1:])


def milliseconds(function: Callable[[], object]) -> float:
    """The least of some runs, after one that does not count."""
    function()
    times = []
    for _ in range(REPEATS):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times) * 1e3


def check_against_loop(mc: mcdrop.MCDropout, x: Tensor, samples: Tensor) -> None:
    """Stop unless the samples are those of the plain loop over the same masks."""
    plan = replace(mc.plan.fast(len(x)), strategy="loop")
    call = mc.as_call(x)
    draw = Draw(mc.seed, SAMPLES, mc.rng, None)
    loop = torch.cat([sample_tile(plan, call, draw, rows)[0] for rows in tiles(plan, call)], 1)
    assert (loop - samples).abs().max() <= 1e-5 * samples.abs().max().clamp(min=1)


def measure(model: nn.Module, x: Tensor) -> dict[str, float]:
    """All times of one model, after the checks."""
    model.eval()
    mc = mcdrop.MCDropout(model, n_samples=SAMPLES)
    start = time.perf_counter()
    samples = mc.sample(x)
    first = (time.perf_counter() - start) * 1e3
    check_against_loop(mc, x, samples)
    for peer in (naive_loop, replication):
        assert (peer(model, x).std(0) > 0).any(), peer.__name__
    seeds = iter(range(1, 1000))
    return {
        "warm": milliseconds(lambda: mc.sample(x)),
        "cold": milliseconds(lambda: mc.sample(x, seed=next(seeds))),
        "loop": milliseconds(lambda: naive_loop(model, x)),
        "replicate": milliseconds(lambda: replication(model, x)),
        "first": first,
    }


def main() -> None:
    """Print the table."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    table = Table(
        "model, batch", "warm ms", "cold ms", "loop ms", "replicate ms", "ratio", "bar", "first call ms"
    )
    for name, (model, x, bar) in cases().items():
        times = measure(model, x)
        ratio = min(times["loop"], times["replicate"]) / times["warm"]
        figures = [f"{times[key]:.2f}" for key in ("warm", "cold", "loop", "replicate")]
        table.add_row(name, *figures, f"{ratio:.1f}x", f"{bar}x", f"{times['first']:.0f}")
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
