"""How often promises of 90 % hold that were fitted on the rows which shaped the law, and on others.

    python benchmarks/shared_rows.py      # a minute on one core

Classes: logits z, the label drawn from softmax(z), and eight samples of a network that is too sure,
2 z + noise. Numbers: a Gaussian of known mean and of a standard deviation that is stated too small.
Each trial fits a correction, then sets or intervals, and counts the outcomes in 2000 new rows.
"""

from collections.abc import Callable
from typing import Final

import torch
from torch import Tensor

from mcdrop.calibration.isotonic import fit_class_isotonic
from mcdrop.calibration.quantile_recalibration import fit_quantile_recalibration
from mcdrop.calibration.std_scaling import fit_level_std_scaling
from mcdrop.calibration.temperature import fit_temperature
from mcdrop.calibration.vector_scaling import fit_vector_scaling
from mcdrop.conformal import fit_adaptive_sets, fit_conformal_intervals
from mcdrop.conformal_quantiles import fit_conformal_quantiles

TRIALS: Final = 60
NEW_ROWS: Final = 2000
CLASSES: Final = 10

_NORMAL: Final = torch.distributions.Normal(torch.tensor(0.0).double(), torch.tensor(1.0).double())

Rows = tuple[Tensor, Tensor]
Trial = Callable[[Rows, Rows, Rows], Tensor]
"""From rows that shape, rows that promise and new ones: whether the promise held for each of the new."""


def classes(count: int, generator: torch.Generator) -> Rows:
    """Samples (8, N, C) and labels (N,)."""
    logits = torch.randn(count, CLASSES, generator=generator)
    labels = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
    return (2 * logits + 0.5 * torch.randn(8, count, CLASSES, generator=generator)).softmax(-1), labels


def numbers(count: int, generator: torch.Generator) -> Rows:
    """Stated standard deviations (N,) about 0 and outcomes (N,)."""
    std = 0.5 + torch.rand(count, generator=generator, dtype=torch.float64)
    return std, 1.5 * std * torch.randn(count, generator=generator, dtype=torch.float64)


def temperature(shaping: Rows, promising: Rows, new: Rows) -> Tensor:
    """Sets behind a temperature."""
    fitted = fit_temperature(*shaping)
    return _in_sets(lambda samples: fitted.apply(samples).mean(0), promising, new)


def vector(shaping: Rows, promising: Rows, new: Rows) -> Tensor:
    """Sets behind vector scaling."""
    fitted = fit_vector_scaling(*shaping)
    return _in_sets(lambda samples: fitted.apply(samples).mean(0), promising, new)


def isotonic(shaping: Rows, promising: Rows, new: Rows) -> Tensor:
    """Sets behind isotonic maps."""
    fitted = fit_class_isotonic(shaping[0].mean(0), shaping[1])
    return _in_sets(lambda samples: fitted.apply(samples.mean(0)), promising, new)


def std_levels(shaping: Rows, promising: Rows, new: Rows) -> Tensor:
    """Intervals around the mean, behind a factor for each level of the standard deviation."""
    std, y = shaping
    fitted = fit_level_std_scaling(torch.zeros_like(y), std, y)
    std, y = promising
    promise = fit_conformal_intervals(torch.zeros_like(y), fitted.apply(std), y, level=0.9)
    return _between(promise.apply(torch.zeros_like(new[1]), fitted.apply(new[0])), new[1])


def quantiles(shaping: Rows, promising: Rows, new: Rows) -> Tensor:
    """Intervals around two quantiles, behind a map of levels."""
    fitted = fit_quantile_recalibration(_NORMAL.cdf(shaping[1] / shaping[0]))
    ends = _NORMAL.icdf(fitted.apply([0.05, 0.95]).clamp(1e-6, 1 - 1e-6))
    low, high = (promising[0] * end for end in ends)
    promise = fit_conformal_quantiles(low, high, promising[1], level=0.9)
    return _between(promise.apply(*(new[0] * end for end in ends)), new[1])


def held(
    trial: Trial, made: Callable[[int, torch.Generator], Rows], count: int, *, shared: bool
) -> tuple[float, float]:
    """Share of new rows for which the promise holds, and its standard error over the trials."""
    generator = torch.Generator().manual_seed(0)
    shares = torch.empty(TRIALS)
    for number in range(TRIALS):
        shaping = made(count, generator)
        promising = shaping if shared else made(count, generator)
        shares[number] = trial(shaping, promising, made(NEW_ROWS, generator)).float().mean()
    return shares.mean().item(), shares.std().item() / TRIALS**0.5


def main() -> None:
    """Print the table."""
    print("correction    rows  on the same rows  on others")
    cases = ((temperature, classes, 100), (vector, classes, 120), (isotonic, classes, 200))
    for trial, made, count in (*cases, (std_levels, numbers, 300), (quantiles, numbers, 200)):
        same, others = (held(trial, made, count, shared=shared) for shared in (True, False))
        ends = f"{same[0]:.3f} +- {same[1]:.3f}    {others[0]:.3f} +- {others[1]:.3f}"
        print(f"{trial.__name__:12s} {count:5d}  {ends}")


def _in_sets(corrected: Callable[[Tensor], Tensor], promising: Rows, new: Rows) -> Tensor:
    sets = fit_adaptive_sets(corrected(promising[0]), promising[1], level=0.9, randomized=False)
    return sets.apply(corrected(new[0]))[torch.arange(len(new[1])), new[1]]


def _between(ends: tuple[Tensor, Tensor], y: Tensor) -> Tensor:
    return (y >= ends[0]) & (y <= ends[1])


if __name__ == "__main__":
    main()
