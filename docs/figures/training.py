"""What the figures of the regularization guide share: digits, a small network, training, scores, their style.

Few rows and a wide network, so that there is something to regularize: 200 of the 1797 digits that
scikit-learn bundles are trained on, 400 choose settings, the rest test. Another seed is another choice of
rows, other first weights and other masks. Every number is a mean over seeds with the standard deviation
between them.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Final

import matplotlib as mpl
import torch
import torch.nn.functional as F
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_digits
from torch import Tensor, nn

__all__ = [
    "BLUE",
    "GREY",
    "ORANGE",
    "SEEDS",
    "WIDTH",
    "Digits",
    "Layers",
    "accuracy",
    "digits",
    "fit",
    "new_figure",
    "nll",
    "perceptron",
    "publish",
    "seeded",
    "spread",
]

SEEDS: Final = range(8)
STEPS: Final = 300
WIDTH: Final = 128
BLUE, ORANGE, GREY = "#3366cc", "#cc6633", "#777777"

Layers = Callable[[int], Sequence[nn.Module]]
"""What follows a linear layer of that width."""


@dataclass(frozen=True)
class Digits:
    """Rows of 64 pixels between 0 and 1, and their labels."""

    x: Tensor
    y: Tensor
    x_validation: Tensor
    y_validation: Tensor
    x_test: Tensor
    y_test: Tensor


def digits(seed: int, rows: int = 200) -> Digits:
    """A random choice of so many rows to train on, 400 to choose settings by, and the others."""
    pixels, labels = load_digits(return_X_y=True)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    x = torch.tensor(pixels, dtype=torch.float32)[order] / 16
    y = torch.tensor(labels)[order]
    train, validation, test = slice(0, rows), slice(rows, rows + 400), slice(rows + 400, None)
    return Digits(x[train], y[train], x[validation], y[validation], x[test], y[test])


def perceptron(after: Layers, *, first: Sequence[nn.Module] = ()) -> nn.Sequential:
    """64 inputs, two hidden layers of 128, 10 classes.

    Args:
        after: Activation, norm and dropout that follow a hidden layer.
        first: What comes before the first layer.
    """
    sizes = [64, WIDTH, WIDTH]
    hidden = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), *after(b))]
    return nn.Sequential(*first, *hidden, nn.Linear(WIDTH, 10))


def seeded(make: Callable[[], nn.Sequential], seed: int) -> nn.Sequential:
    """A network with the first weights of a seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return make()


def fit(
    model: nn.Module,
    x: Tensor,
    y: Tensor,
    *,
    seed: int,
    penalty: Callable[[nn.Module], Tensor] | None = None,
    augment: Callable[[Tensor], Tensor] | None = None,
    after_step: Callable[[nn.Module], None] | None = None,
) -> nn.Module:
    """Train by Adam on all rows at once; in eval mode afterwards."""
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for _ in range(STEPS):
            model.train()
            optimiser.zero_grad()
            loss = F.cross_entropy(model(augment(x) if augment else x), y)
            (loss + penalty(model) if penalty else loss).backward()
            optimiser.step()
            if after_step:
                after_step(model.eval())
    return model.eval()


@torch.no_grad()
def nll(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Mean negative log-likelihood in nats, of one deterministic pass."""
    return float(F.cross_entropy(model(x), y))


@torch.no_grad()
def accuracy(model: nn.Module, x: Tensor, y: Tensor) -> float:
    """Share of the rows that a deterministic pass classifies correctly."""
    return float((model(x).argmax(1) == y).double().mean())


def spread(values: Iterable[float]) -> tuple[float, float]:
    """Mean, and standard deviation between seeds."""
    numbers = torch.tensor(list(values), dtype=torch.float64)
    return float(numbers.mean()), float(numbers.std())


def new_figure(panels: int, *, height: float = 3.2) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels side by side."""
    torch.set_num_threads(1)
    mpl.rcParams.update({"svg.hashsalt": "mcdrop", "svg.fonttype": "none", "font.size": 9})
    figure = Figure(figsize=(8, height), layout="constrained")
    axes = list(figure.subplots(1, panels, squeeze=False)[0])
    for panel in axes:
        panel.spines[["top", "right"]].set_visible(False)
    return figure, axes


def publish(figure: Figure, script: str, lines: Sequence[str]) -> None:
    """Write figure and table beside the script, and print the table."""
    path, lines = Path(script), [line.rstrip() for line in lines]
    figure.savefig(path.with_suffix(".svg"), metadata={"Date": None})
    path.with_suffix(".txt").write_text("\n".join(lines) + "\n")
    print(*lines, sep="\n")
