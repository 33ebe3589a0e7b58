"""What Monte Carlo dropout is not: its spread in a gap, with more data, and far from the data.

    python benchmarks/limits.py      # two minutes on one core

Three tables, for docs/what-mc-dropout-is-not.md. The first two are about noisy points of a sine and a network
of two hidden layers of 64 units; an ensemble of networks without dropout, which differ in their first weights
and the order of the rows, stands beside it. The third is about `models/digits` and images of other kinds.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table
from sklearn.datasets import load_sample_images
from torch import Tensor, nn

import mcdrop
from mcdrop.metrics.ranking import ood_auroc
from mcdrop.predictive import ClassificationPredictive

MODELS: Final = Path(__file__).parents[1] / "models"
SEEDS: Final = range(5)
STEPS: Final = 1500
NOISE: Final = 0.2
RATES: Final = (0.05, 0.1, 0.3)
ROWS: Final = (50, 200, 800, 3200)

_BATCH: Final = 64


class Spread(NamedTuple):
    """Standard deviations, mean over places and seeds.

    Attributes:
        at_data: Where there are data.
        in_gap: Where there are none, with data on both sides.
        beyond: Outside, up to once the width of the data away.
    """

    at_data: float
    in_gap: float
    beyond: float


def sine(rows: int, seed: int, *, gap: bool) -> tuple[Tensor, Tensor]:
    """Points (N, 1) in [-3, 3], without [-1, 1] if there is to be a gap, and their noisy sine."""
    generator = torch.Generator().manual_seed(seed)
    x = 6 * torch.rand(rows, 1, generator=generator) - 3
    if gap:
        x = x.sign() * (1 + 2 * x.abs() / 3)
    return x, torch.sin(2 * x) + NOISE * torch.randn(rows, 1, generator=generator)


def trained(x: Tensor, y: Tensor, *, p: float, seed: int, steps: int = STEPS) -> nn.Module:
    """A network with dropout at rate p (none at 0) after both hidden layers."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        drop = [nn.Dropout(p)] if p else []
        layers = [nn.Linear(1, 64), nn.ReLU(), *drop, nn.Linear(64, 64), nn.ReLU(), *drop, nn.Linear(64, 1)]
        model = nn.Sequential(*layers)
        adam = torch.optim.Adam(model.parameters(), lr=3e-3, fused=True)
        for _ in range(steps):
            rows = torch.randint(len(x), (_BATCH,))
            adam.zero_grad()
            (model(x[rows]) - y[rows]).square().mean().backward()
            adam.step()
    return model.eval()


def dropout_outputs(model: nn.Module, x: Tensor) -> Tensor:
    """(S, N) outputs under 256 masks."""
    samples: Tensor = mcdrop.MCDropout(model, n_samples=256).sample(x)
    return samples.squeeze(2)


@torch.no_grad()
def ensemble_outputs(models: list[nn.Module], x: Tensor) -> Tensor:
    """(members, N) outputs of each member."""
    return torch.stack([model(x).squeeze(1) for model in models])


def dropout_in_gap(rate: float, *, seeds: range = SEEDS, steps: int = STEPS) -> Spread:
    """The spread of dropout at a rate; the mean over networks of different seeds and data."""
    spreads = []
    for seed in seeds:
        model = trained(*sine(200, seed, gap=True), p=rate, seed=seed, steps=steps)
        spreads.append([dropout_outputs(model, places).std(0).mean().item() for places in _places()])
    return Spread(*torch.tensor(spreads).mean(0).tolist())


def ensemble_in_gap(*, seeds: range = SEEDS, steps: int = STEPS) -> Spread:
    """The spread of networks without dropout on the same data."""
    data = sine(200, 0, gap=True)
    members = [trained(*data, p=0, seed=seed, steps=steps) for seed in seeds]
    return Spread(*(ensemble_outputs(members, places).std(0).mean().item() for places in _places()))


def _places() -> tuple[Tensor, Tensor, Tensor]:
    """At the data, in the gap, beyond."""
    side, outside = torch.linspace(1, 3, 41), torch.linspace(3.5, 6, 41)
    both = (torch.cat([-part, part]).unsqueeze(1) for part in (side, outside))
    at_data, beyond = both
    return at_data, torch.linspace(-0.8, 0.8, 41).unsqueeze(1), beyond


class Learning(NamedTuple):
    """At one number of rows: true error of the mean and standard deviations, in units of y."""

    dropout_error: float
    dropout_std: float
    ensemble_error: float
    ensemble_std: float


def learning(rows: int, *, p: float = 0.1, seeds: range = SEEDS, steps: int = STEPS) -> Learning:
    """Spread and error where there are data, for so many of them."""
    places = torch.linspace(-3, 3, 121).unsqueeze(1)
    truth = torch.sin(2 * places).squeeze(1)
    found = []
    for seed in seeds:
        x, y = sine(rows, seed, gap=False)
        drawn = dropout_outputs(trained(x, y, p=p, seed=seed, steps=steps), places)
        found.append([_error(drawn.mean(0), truth), drawn.std(0).mean().item()])
    x, y = sine(rows, 0, gap=False)
    members = ensemble_outputs([trained(x, y, p=0, seed=each, steps=steps) for each in seeds], places)
    error, spread = torch.tensor(found).mean(0).tolist()
    return Learning(error, spread, _error(members.mean(0), truth), members.std(0).mean().item())


def _error(mean: Tensor, truth: Tensor) -> float:
    return (mean - truth).square().mean().sqrt().item()


class Foreign(NamedTuple):
    """AUROC of telling foreign images from digits, by three scores; 0.5 is chance, below it is misled."""

    one_pass: float
    total: float
    epistemic: float


def foreign(images: Tensor) -> Foreign:
    """How well `models/digits` tells (N, 1, 8, 8) images of other kinds from its own test rows."""
    mc = mcdrop.load(MODELS / "digits")
    own, others = mc.predict(_digits()), mc.predict(images)
    assert isinstance(own, ClassificationPredictive)
    assert isinstance(others, ClassificationPredictive)
    scores = (
        (1 - own.deterministic.amax(1), 1 - others.deterministic.amax(1)),
        (own.predictive_entropy, others.predictive_entropy),
        (own.mutual_information, others.mutual_information),
    )
    return Foreign(*(_auroc(inside, outside) for inside, outside in scores))


def _auroc(inside: Tensor, outside: Tensor) -> float:
    return ood_auroc(inside, outside).item()


def foreign_images() -> dict[str, Tensor]:
    """Images (N, 1, 8, 8) with pixels 0 to 16 that are no upright digits."""
    digits = _digits()
    generator = torch.Generator().manual_seed(0)
    shuffled = digits.flatten(1)[:, torch.randperm(64, generator=generator)].reshape(digits.shape)
    return {
        "digits on their side": digits.rot90(1, (2, 3)),
        "digits, pixels shuffled": shuffled,
        "digits, darker by half": digits / 2,
        "patches of photographs": _patches(len(digits)),
        "uniform noise": 16 * torch.rand(digits.shape, generator=generator),
        "blank": torch.zeros(digits.shape),
    }


def _digits() -> Tensor:
    with np.load(MODELS / "digits" / "test.npz") as arrays:
        return torch.from_numpy(arrays["x"])


def _patches(count: int) -> Tensor:
    """Grey 8 x 8 squares of the two photographs that scikit-learn bundles, each 32 x 32 pixels before."""
    grey = [
        torch.from_numpy(np.array(image)).float().mean(2) / 255 * 16 for image in load_sample_images().images
    ]
    squares = [nn.functional.avg_pool2d(image[None, None], 4).squeeze() for image in grey]
    cut = torch.cat([each.unfold(0, 8, 8).unfold(1, 8, 8).reshape(-1, 1, 8, 8) for each in squares])
    return cut[torch.randperm(len(cut), generator=torch.Generator().manual_seed(0))[:count]]


def main() -> None:
    """Print the three tables."""
    console = Console(width=120)
    table = Table("spread", "at the data", "in the gap", "beyond", "gap / data", box=MARKDOWN)
    spreads = {f"dropout, p = {rate}": dropout_in_gap(rate) for rate in RATES}
    for name, found in {**spreads, "ensemble of 5": ensemble_in_gap()}.items():
        table.add_row(name, *(f"{value:.3f}" for value in found), f"{found.in_gap / found.at_data:.1f}")
    console.print(table)
    table = Table("rows", "dropout: error", "spread", "ensemble: error", "spread", box=MARKDOWN)
    for rows in ROWS:
        table.add_row(str(rows), *(f"{value:.3f}" for value in learning(rows)))
    console.print(table)
    table = Table("against test digits", "1 - max, one pass", "entropy", "mutual information", box=MARKDOWN)
    for name, images in foreign_images().items():
        table.add_row(name, *(f"{value:.3f}" for value in foreign(images)))
    console.print(table)


if __name__ == "__main__":
    main()
