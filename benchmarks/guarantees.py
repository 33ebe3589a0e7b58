"""Do the promises hold? Simulates every interval and every guarantee and prints how often each kept its word.

    python benchmarks/guarantees.py --trials 1000

Each trial draws new data of known truth. *kept* is the share of trials (for conformal methods: of new rows)
in which the promise held; it should not lie below *promised* by more than the five standard errors in the
last column.
"""

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from mcdrop.calibration_intervals import (
    ece_interval,
    ence_interval,
    l2_interval,
    qce_interval,
    smooth_interval,
)
from mcdrop.conformal import fit_adaptive_sets, fit_conformal_intervals
from mcdrop.conformal_quantiles import fit_conformal_quantiles
from mcdrop.corp_intervals import split_intervals
from mcdrop.intervals import Interval, mean_interval, wilson_interval
from mcdrop.metrics.regression_calibration import covered
from mcdrop.metrics.smooth_calibration import smooth_calibration_error
from mcdrop.scoring import ScoreOptions, overconfidence_score
from mcdrop.selective import fit_selective_threshold

BINS = 15
_SMOOTHED = ((1.0, 100), (1.0, 1000), (1.2, 1000), (2.0, 100), (2.0, 1000))
"""For the smooth error: power that makes the true probability from the stated one, and rows."""
_SPREADS = ((1.0, 0), (1.0, 5), (1.1, 0), (2.0, 0), (2.0, 5))
"""For ENCE: factor of the errors, and degrees of freedom of their tails (0: Gaussian)."""


@dataclass(frozen=True)
class Case:
    """A promise and one simulated trial of it.

    Attributes:
        name: What is promised, of which data.
        promised: Probability.
        kept: Whether, or in which share of new rows, the promise held in the trial of this seed.
    """

    name: str
    promised: float
    kept: Callable[[int], float]


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--trials", type=int, default=1000)
    trials = parser.parse_args().trials
    torch.set_num_threads(1)
    print(f"{trials} trials\n\n{'promise':<58}{'promised':>9}{'kept':>8}{'5 s.e.':>8}{'seconds':>9}")
    for case in cases():
        print(_line(case, trials))


def cases() -> list[Case]:
    """Every promise that is simulated."""
    return [
        *(_mean_case(rows) for rows in (50, 1000)),
        *(_proportion_case(share, rows) for share, rows in ((0.5, 50), (0.99, 100))),
        *(_overconfidence_case(rows) for rows in (50, 300)),
        *(_ece_case(power, rows) for power in (1.0, 1.2, 2.0) for rows in (200, 2000)),
        *(_l2_case(power, rows) for power in (1.0, 1.2, 2.0) for rows in (200, 2000)),
        *(_qce_case(rows) for rows in (100, 1000)),
        *(_smooth_case(power, rows) for power, rows in _SMOOTHED),
        *(_split_case(part, power, rows) for part in (0, 1) for power in (1.0, 2.0) for rows in (100, 1000)),
        *(_ence_case(factor, tails, rows) for factor, tails in _SPREADS for rows in (300, 2000)),
        *(Case(f"conformal intervals, n = {n}", 0.9, _intervals_trial(n)) for n in (19, 100)),
        *(Case(f"conformal quantiles, n = {n}", 0.9, _quantiles_trial(n)) for n in (19, 100)),
        *(
            Case(f"adaptive sets, randomised, n = {n}", 0.9, _sets_trial(n, randomized=True))
            for n in (19, 100)
        ),
        Case("adaptive sets, not randomised, n = 100", 0.9, _sets_trial(100, randomized=False)),
        *(Case(f"selective risk <= 0.1, n = {n}", 0.9, _selective_trial(n)) for n in (200, 1000)),
    ]


def simulate(case: Case, trials: int) -> tuple[float, float]:
    """How often a promise held, and the five standard errors by which that may lie below what is promised."""
    kept = torch.tensor([float(case.kept(seed)) for seed in range(trials)], dtype=torch.float64)
    spread = max(kept.std().item(), math.sqrt(case.promised * (1 - case.promised)) / 10)
    return kept.mean().item(), 5 * spread / math.sqrt(trials)


def _line(case: Case, trials: int) -> str:
    start = time.perf_counter()
    kept, margin = simulate(case, trials)
    seconds = time.perf_counter() - start
    verdict = "" if kept >= case.promised - margin else "  BROKEN"
    return f"{case.name:<58}{case.promised:>9.3f}{kept:>8.3f}{margin:>8.3f}{seconds:>9.1f}{verdict}"


def _mean_case(rows: int) -> Case:
    def kept(seed: int) -> bool:
        values = torch.randn(rows, dtype=torch.float64, generator=_generator(seed)).exp()
        return _holds(mean_interval(values, seed=seed), math.exp(0.5))

    return Case(f"mean of log-normal rows, BCa, n = {rows}", 0.95, kept)


def _proportion_case(share: float, rows: int) -> Case:
    def kept(seed: int) -> bool:
        hits = torch.rand(rows, generator=_generator(seed)) < share
        return _holds(wilson_interval(int(hits.sum()), rows), share)

    return Case(f"proportion of {share}, Wilson, n = {rows}", 0.95, kept)


def _overconfidence_case(rows: int) -> Case:
    """A calibrated classifier that errs once in a hundred rows."""

    def kept(seed: int) -> bool:
        generator = _generator(seed)
        stated = 0.98 + 0.02 * torch.rand(rows, dtype=torch.float64, generator=generator)
        came = torch.rand(rows, dtype=torch.float64, generator=generator) < stated
        found = overconfidence_score(stated, came, ScoreOptions(seed=seed)).interval
        return found is not None and _holds(found, 0.0)

    return Case(f"over-confidence of 0, 1 % errors, n = {rows}", 0.95, kept)


def _ece_case(power: float, rows: int) -> Case:
    truth = sum(abs(gap) for gap in _gaps(power)) / BINS

    def kept(seed: int) -> bool:
        return _holds(ece_interval(*_confidences(rows, power, seed), resamples=200, seed=seed), truth)

    return Case(f"ECE of {truth:.3f}, bias-aware, n = {rows}", 0.95, kept)


def _l2_case(power: float, rows: int) -> Case:
    truth = math.sqrt(sum(gap**2 for gap in _gaps(power)) / BINS)

    def kept(seed: int) -> bool:
        return _holds(l2_interval(*_confidences(rows, power, seed)), truth)

    return Case(f"L2 calibration error of {truth:.3f}, debiased, n = {rows}", 0.95, kept)


def _qce_case(rows: int) -> Case:
    def kept(seed: int) -> bool:
        pit = torch.rand(rows, dtype=torch.float64, generator=_generator(seed))
        return _holds(qce_interval(pit, resamples=100, seed=seed), 0.0)

    return Case(f"quantile calibration error of 0, bias-aware, n = {rows}", 0.95, kept)


def _smooth_case(power: float, rows: int) -> Case:
    truth = 0.0 if power == 1 else _true_smooth_error(power)

    def kept(seed: int) -> bool:
        return _holds(smooth_interval(*_confidences(rows, power, seed), resamples=50, seed=seed), truth)

    return Case(f"smooth calibration error of {truth:.3f}, n = {rows}", 0.95, kept)


def _true_smooth_error(power: float) -> float:
    """Of confidences that are each stated 500 times, and have as many events as they should."""
    p = ((torch.arange(500, dtype=torch.float64) + 0.5) / 500).repeat_interleave(500)
    return smooth_calibration_error(p, torch.arange(500).repeat(500) + 0.5 < 500 * p**power)


def _split_case(part: int, power: float, rows: int) -> Case:
    """E (p - p^power)^2 and E p^power (1 - p^power), for p uniform."""
    miscalibration = 1 / 3 - 2 / (power + 2) + 1 / (2 * power + 1)
    truth = (miscalibration, 1 / (power + 1) - 1 / (2 * power + 1))[part]

    def kept(seed: int) -> bool:
        p, event = _confidences(rows, power, seed)
        found = split_intervals(p.reshape(-1, 1, 1), 1 - event.double().reshape(-1, 1), seed=seed)
        return _holds(found[part], truth)

    return Case(f"Brier, {('miscalibration', 'refinement')[part]} of {truth:.3f}, n = {rows}", 0.95, kept)


def _ence_case(factor: float, tails: int, rows: int) -> Case:
    """Errors `factor` times as large as predicted: Gaussian, or with the tails of Student's t."""
    truth = abs(factor - 1)

    def kept(seed: int) -> bool:
        generator = _generator(seed)
        std = 0.2 + 2 * torch.rand(rows, dtype=torch.float64, generator=generator)
        error = torch.randn(rows, dtype=torch.float64, generator=generator)
        if tails:
            squares = torch.randn(tails, rows, dtype=torch.float64, generator=generator).square().mean(0)
            error *= ((tails - 2) / tails / squares).sqrt()
        return _holds(ence_interval(std, factor * std * error, seed=seed), truth)

    law = f"t of {tails}" if tails else "Gaussian"
    return Case(f"ENCE of {truth:g}, {law} errors, n = {rows}", 0.95, kept)


def _intervals_trial(rows: int) -> Callable[[int], float]:
    """Standard deviations that say nothing about the errors, which have heavy tails."""

    def kept(seed: int) -> float:
        generator = _generator(seed)
        std = 0.1 + torch.rand(2 * rows, dtype=torch.float64, generator=generator)
        y = torch.randn(2 * rows, dtype=torch.float64, generator=generator).pow(3)
        fitted = fit_conformal_intervals(torch.zeros(rows), std[:rows], y[:rows], level=0.9)
        lower, upper = fitted.apply(torch.zeros(rows), std[rows:])
        return covered(lower, upper, y[rows:]).mean().item()

    return kept


def _quantiles_trial(rows: int) -> Callable[[int], float]:
    """Quantiles of a law that is symmetric and too narrow, and outcomes that are skewed."""

    def kept(seed: int) -> float:
        generator = _generator(seed)
        scale = 0.5 + torch.rand(2 * rows, dtype=torch.float64, generator=generator)
        y = scale * torch.randn(2 * rows, dtype=torch.float64, generator=generator).exp()
        fitted = fit_conformal_quantiles(-scale[:rows], scale[:rows], y[:rows], level=0.9)
        return covered(*fitted.apply(-scale[rows:], scale[rows:]), y[rows:]).mean().item()

    return kept


def _sets_trial(rows: int, *, randomized: bool) -> Callable[[int], float]:
    """Laws three times as sharp as those that the labels come from."""

    def kept(seed: int) -> float:
        generator = _generator(seed)
        logits = torch.randn(2 * rows, 5, dtype=torch.float64, generator=generator)
        y = torch.multinomial(logits.softmax(-1), 1, generator=generator).squeeze(1)
        laws = (3 * logits).softmax(-1)
        fitted = fit_adaptive_sets(laws[:rows], y[:rows], level=0.9, randomized=randomized, seed=seed)
        return fitted.apply(laws[rows:]).gather(1, y[rows:].unsqueeze(1)).double().mean().item()

    return kept


def _selective_trial(rows: int) -> Callable[[int], bool]:
    """P(error | u) = u^2 / 2 with u uniform, so that the error of the rows below t is t^2 / 6."""

    def kept(seed: int) -> bool:
        generator = _generator(seed)
        u = torch.rand(rows, dtype=torch.float64, generator=generator)
        error = torch.rand(rows, dtype=torch.float64, generator=generator) < u**2 / 2
        threshold = fit_selective_threshold(u, error, risk=0.1, confidence=0.9).threshold
        return min(max(threshold, 0.0), 1.0) ** 2 / 6 <= 0.1

    return kept


def _confidences(rows: int, power: float, seed: int) -> tuple[Tensor, Tensor]:
    """Confidences uniform on [0, 1], and events of probability confidence^power."""
    generator = _generator(seed)
    confidence = torch.rand(rows, dtype=torch.float64, generator=generator)
    return confidence, torch.rand(rows, dtype=torch.float64, generator=generator) < confidence**power


def _gaps(power: float) -> list[float]:
    """The true gap of each bin: the mean of p - p^power."""
    edges = [k / BINS for k in range(BINS + 1)]
    areas = [
        (b**2 - a**2) / 2 - (b ** (power + 1) - a ** (power + 1)) / (power + 1) for a, b in pairwise(edges)
    ]
    return [BINS * area for area in areas]


def _holds(interval: Interval, truth: float) -> bool:
    return interval.lower <= truth + 1e-12 and truth - 1e-12 <= interval.upper


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed + 1_000_000)


if __name__ == "__main__":
    main()
