"""Stratified masks against plain draws: the error of the predictive mean on the shipped models.

python benchmarks/stratified.py

Both kinds of masks are unbiased, so the error of a mean is its standard deviation over seeds: no reference is
needed, and none can be wrong. Printed for each number of samples S: both errors (root mean square over rows
and outputs), their ratio with its standard error, and how many times as many plain samples would do as well.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")  # both are read when torch is imported
os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

import mcdrop

MODELS: Final = Path(__file__).parents[1] / "models"
SAMPLES: Final = (16, 32, 64, 128)
SEEDS: Final = range(64)
BAR: Final = 0.75
"""The ratio that `models/digits` must not exceed at S = 32."""

_GROUPS: Final = 16


class Comparison(NamedTuple):
    """Errors of the mean, in units of the output.

    Attributes:
        stratified: With `philox-1`.
        plain: With `philox-1-plain`.
        ratio: The first over the second.
        ratio_error: Standard error of the ratio.
    """

    stratified: float
    plain: float
    ratio: float
    ratio_error: float


def compare(name: str, x: Tensor, *, n_samples: int, seeds: Sequence[int] = SEEDS) -> Comparison:
    """Both kinds of masks on one shipped model.

    Args:
        name: Of the model.
        x: (N, ...) rows.
        n_samples: S.
        seeds: Of the masks; one prediction each.
    """
    stratified, plain = (means(name, x, rng, n_samples, seeds) for rng in ("philox-1", "philox-1-plain"))
    ratio = error(stratified) / error(plain)
    return Comparison(error(stratified), error(plain), ratio, jackknife_error(stratified, plain))


def means(name: str, x: Tensor, rng: str, n_samples: int, seeds: Sequence[int]) -> Tensor:
    """(seeds, N, ...) the predictive mean of each seed, float64."""
    loaded = mcdrop.load(MODELS / name)
    mc = mcdrop.MCDropout(loaded.model, task=loaded.task, rng=rng, n_samples=n_samples)
    return torch.stack([mc.predict(x, seed=seed).mean.double() for seed in seeds])


def error(means: Tensor) -> float:
    """Standard deviation over the seeds, root mean square over everything else."""
    return means.var(0).mean().sqrt().item()


def jackknife_error(stratified: Tensor, plain: Tensor) -> float:
    """Standard error of the ratio, from leaving out one group of seeds at a time (Tukey 1958)."""
    groups = min(_GROUPS, len(plain))
    kept = [torch.arange(len(plain)) % groups != group for group in range(groups)]
    ratios = np.array([error(stratified[rows]) / error(plain[rows]) for rows in kept])
    return float(np.sqrt((groups - 1) * ratios.var()))


def held_out_rows(name: str) -> Tensor:
    """(N, ...) the inputs of the model's test rows."""
    with np.load(MODELS / name / "test.npz") as arrays:
        return torch.from_numpy(arrays["x"])


def main() -> None:
    """Print the table, and whether the bar holds."""
    table = Table("model", "S", "stratified", "plain", "ratio", "worth")
    for name in ("digits", "diabetes"):
        for n_samples in SAMPLES:
            found = compare(name, held_out_rows(name), n_samples=n_samples)
            table.add_row(name, str(n_samples), *cells(found))
            if (name, n_samples) == ("digits", 32):
                verdict = f"digits at S = 32: {found.ratio:.3f}, at most {BAR} wanted"
    console = Console()
    console.print(table)
    console.print(verdict)


def cells(found: Comparison) -> list[str]:
    """One line of the table."""
    ratio = f"{found.ratio:.3f} ± {found.ratio_error:.3f}"
    return [f"{found.stratified:.3g}", f"{found.plain:.3g}", ratio, f"{found.ratio**-2:.1f}x"]


if __name__ == "__main__":
    main()
