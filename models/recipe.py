"""What the recipes of this directory share: a fixed split, plain and repeatable training, a grid of rates.

Nothing here knows of Monte Carlo dropout: each `train.py` shows how a trained model becomes a checkpoint.

Alphabet: N rows.
"""

import argparse
import csv
import hashlib
import itertools
import statistics
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from sklearn.model_selection import train_test_split
from torch import Tensor, nn

__all__ = [
    "RATES_FILE",
    "SEEDS",
    "Part",
    "Split",
    "choose_rates",
    "command_line",
    "fit",
    "save_held_out",
    "seeded",
    "split",
    "training_facts",
]

SEEDS: Final = (0, 1, 2)
"""Of training. The first makes the shipped model; the others show how much the scores depend on it."""

RATES_FILE: Final = "rates.csv"


@dataclass(frozen=True)
class Part:
    """Some rows of a data set.

    Attributes:
        x: (N, ...) raw inputs.
        y: (N, ...) what is to be predicted.
    """

    x: Tensor
    y: Tensor


@dataclass(frozen=True)
class Split:
    """A data set in three parts.

    Attributes:
        train: For the weights.
        validation: For the rates, and for what is fitted on the samples of a trained model.
        test: For nothing but the scores.
    """

    train: Part
    validation: Part
    test: Part


def split(x: Tensor, y: Tensor, *, stratify: bool = False) -> Split:
    """60, 20 and 20 per cent of the rows, always the same ones.

    Args:
        x: (N, ...) raw inputs.
        y: (N, ...) what is to be predicted.
        stratify: Whether `y` are classes, whose shares are kept.
    """
    train, held_out = _cut(torch.arange(len(y)), y, share=0.4, stratify=stratify)
    validation, test = _cut(held_out, y, share=0.5, stratify=stratify)
    return Split(*(Part(x[rows], y[rows]) for rows in (train, validation, test)))


def _cut(rows: Tensor, y: Tensor, *, share: float, stratify: bool) -> list[Tensor]:
    classes = y[rows].numpy() if stratify else None
    parts = train_test_split(rows.numpy(), test_size=share, random_state=0, stratify=classes)
    return [torch.from_numpy(part) for part in parts]


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Inside, torch draws from this seed and repeats to the bit; its global generator comes back unmoved."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(mode=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield


def fit(
    model: nn.Module,
    part: Part,
    *,
    loss: Callable[[Tensor, Tensor], Tensor],
    epochs: int,
    batch_size: int = 32,
    learning_rate: float = 3e-3,
    weight_decay: float = 0.01,
    augment: Callable[[Tensor], Tensor] = lambda x: x,
) -> None:
    """Train in place, by AdamW with one cycle of the learning rate; the model ends in eval mode.

    Order, dropout and augmentation draw from torch's global generator, as modules in train mode do: use it
    under `seeded`.

    Args:
        model: What is trained.
        part: The rows.
        loss: Of the outputs and targets of a batch.
        epochs: How often each row is seen.
        batch_size: Rows in a step.
        learning_rate: The highest in the cycle.
        weight_decay: Decoupled from the learning rate's adaptation.
        augment: Changes the inputs of a batch.

    Source:
        Loshchilov and Hutter 2019, arXiv:1711.05101; Smith and Topin 2017, arXiv:1708.07120.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=learning_rate, weight_decay=weight_decay)
    steps = epochs * -(-len(part.y) // batch_size)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps)
    model.train()
    for rows in _batches(len(part.y), batch_size, epochs):
        optimizer.zero_grad()
        torch.autograd.backward(loss(model(augment(part.x[rows])), part.y[rows]))
        optimizer.step()
        schedule.step()
    model.eval()


def _batches(rows: int, batch_size: int, epochs: int) -> Iterator[Tensor]:
    for _ in range(epochs):
        yield from torch.split(torch.randperm(rows), batch_size)


def choose_rates(
    directory: Path, grid: Mapping[str, Sequence[float]], log_likelihood: Callable[..., float]
) -> dict[str, float]:
    """Try every combination of rates with every seed, and write the table that the model card shows.

    Args:
        directory: Where the table goes.
        grid: The values to try, by name of the rate.
        log_likelihood: Of the validation rows, in nats for a row; takes `seed` and the rates to train with.

    Returns:
        The rates with the highest mean over the seeds.
    """
    combinations = [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]
    table = [_tried(rates, log_likelihood) for rates in combinations]
    with (directory / RATES_FILE).open("w", newline="") as file:
        writer = csv.DictWriter(file, table[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(table)
    best = max(table, key=lambda row: row["log_likelihood"])
    return {name: best[name] for name in grid}


def _tried(rates: Mapping[str, float], log_likelihood: Callable[..., float]) -> dict[str, float]:
    found = [log_likelihood(seed=seed, **rates) for seed in SEEDS]
    row = {"log_likelihood": statistics.fmean(found), "deviation_over_seeds": statistics.stdev(found)}
    print(rates, row, flush=True)
    return {**rates, **{name: round(value, 5) for name, value in row.items()}}


def save_held_out(directory: Path, data: Split) -> None:
    """Write `validation.npz` and `test.npz`, each with raw inputs `x` and targets `y`."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, part in {"validation": data.validation, "test": data.test}.items():
        np.savez_compressed(directory / f"{name}.npz", x=part.x.numpy(), y=part.y.numpy())


def training_facts(data: Split, *, source: str, epochs: int) -> dict[str, Any]:
    """What the manifest says about the training.

    Args:
        data: Its training part is named by its digest, the sha256 of the bytes of `x` and then `y`.
        source: Where the data come from.
        epochs: How often each row was seen.
    """
    part = data.train
    content = part.x.numpy().tobytes() + part.y.numpy().tobytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    return {"data": source, "rows": len(part.y), "digest": digest, "seed": SEEDS[0], "epochs": epochs}


def command_line(description: str | None, *, out: Path, epochs: int) -> argparse.Namespace:
    """What the command line asks of a recipe: `epochs`, `out` and `choose_rates`.

    Args:
        description: The recipe's docstring.
        out: Where it writes unless told otherwise.
        epochs: That it trains unless told otherwise.
    """
    layout = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=description, formatter_class=layout)
    parser.add_argument("--epochs", type=int, default=epochs, help=f"how often each row is seen ({epochs})")
    parser.add_argument("--out", type=Path, default=out, help="directory of the checkpoint (this one)")
    parser.add_argument("--choose-rates", action="store_true", help=f"write {RATES_FILE}, and nothing else")
    return parser.parse_args()
