"""The figure of the README: mean and band of a small network on a one-dimensional toy.

    python docs/figures/toy.py     # writes docs/figures/toy.svg, in seconds

The band should be narrow where there were data and widen in the gap and beyond the ends.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from pathlib import Path

import matplotlib as mpl
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor, nn

import mcdrop
from mcdrop.predictive import Predictive

STEPS = 4000
BLUE, INK = "#3366cc", "#222222"


def toy(rows: int = 60) -> tuple[Tensor, Tensor]:
    """Noisy points of a sine, with a gap in the middle.

    Returns:
        x: (N, 1), in [-3, -1] and [1, 3].
        y: (N, 1).
    """
    generator = torch.Generator().manual_seed(0)
    side = torch.linspace(1, 3, rows // 2)
    x = torch.cat([-side.flip(0), side]).unsqueeze(1)
    return x, torch.sin(2 * x) + 0.1 * torch.randn(x.shape, generator=generator)


def network() -> nn.Module:
    """Two hidden layers, each with dropout."""
    return nn.Sequential(
        nn.Linear(1, 128),
        nn.Tanh(),
        nn.Dropout(0.1),
        nn.Linear(128, 128),
        nn.ReLU(),
        nn.Dropout(0.1),
        nn.Linear(128, 1),
    )


def train(x: Tensor, y: Tensor) -> nn.Module:
    """A network fitted to the points, the same one each time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = network()
        optimiser = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=1e-2)
        for _ in range(STEPS):
            optimiser.zero_grad()
            nn.functional.mse_loss(model(x), y).backward()
            optimiser.step()
    return model.eval()


def draw(axes: Axes, grid: Tensor, pred: Predictive, points: tuple[Tensor, Tensor]) -> None:
    """The mean, bands of one and two standard deviations, and the points the network was fitted to."""
    mean, std = pred.mean.squeeze(1), pred.std.squeeze(1)
    for width in (2, 1):
        label = f"mean ± {width} std"
        axes.fill_between(
            grid.squeeze(1),
            mean - width * std,
            mean + width * std,
            color=BLUE,
            alpha=0.4 / width,
            lw=0,
            label=label,
        )
    axes.plot(grid, mean, color=BLUE, label="mean")
    axes.plot(*points, "o", color=INK, markersize=3, label="data")
    axes.set(xlim=(-5, 5), ylim=(-2.5, 2.5), xlabel="x", ylabel="y")
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, ncols=4, loc="upper center")


def main() -> None:
    """Write the figure beside this file; the same bytes each time."""
    torch.set_num_threads(1)
    mpl.rcParams["svg.hashsalt"] = "toy"
    points = toy()
    grid = torch.linspace(-5, 5, 400).unsqueeze(1)
    pred = mcdrop.MCDropout(train(*points), n_samples=512, seed=0, task="regression").predict(grid)
    figure = Figure(figsize=(8, 3.5), layout="constrained")
    draw(figure.subplots(), grid, pred, points)
    figure.savefig(Path(__file__).with_suffix(".svg"), metadata={"Date": None})


if __name__ == "__main__":
    main()
