"""The choice among candidates, and the table of what was tried.

Of all candidates that are behind the best by no more than one standard error of the paired difference, that
one is chosen which lies nearest to how the network was trained.

Source: the one-standard-error rule, Breiman et al. 1984, "Classification and regression trees", 3.4.3.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from mcdrop.mcdropout import MCDropout
from mcdrop.sensitivity import Estimate
from mcdrop.tuning.trial import Result, Trial

__all__ = ["Candidate", "TunedRates", "chosen_among"]


@dataclass(frozen=True)
class Candidate:
    """Rates that were tried.

    Attributes:
        rates: By group; empty for the rates that the model had.
        score: Mean over the rows, less is better, with its standard error over the rows.
        behind: How much worse than the best, on the same rows with the same masks.
        tau: Noise precision that was fitted with it, for a regression.
        distance: Mean distance of its rates from those that the network was trained with; 0 is the rate of
            training for injected dropout.
        good_enough: Whether it is behind the best by no more than one standard error of the difference.
    """

    rates: Mapping[str, float]
    score: Estimate
    behind: Estimate
    tau: float | None
    distance: float
    good_enough: bool


@dataclass(frozen=True, eq=False)
class TunedRates:
    """What was tried, and what was chosen.

    Attributes:
        candidates: In the order in which they were tried; the first are the rates that the model had.
        best: With the best score.
        chosen: By the one-standard-error rule.
        mc: The model with the chosen rates, sampled as before; for a regression with the fitted tau.
            Calibrators are left behind: they were fitted with other rates. The original is as it was.
        score: `nll` or `crps`.
        n_rows: Of the validation data.
    """

    candidates: tuple[Candidate, ...]
    best: Candidate
    chosen: Candidate
    mc: MCDropout
    score: str
    n_rows: int

    @property
    def rates(self) -> dict[str, float]:
        """The chosen rates by group; empty if those that the model had were chosen."""
        return dict(self.chosen.rates)

    @property
    def model(self) -> nn.Module:
        """The model with the chosen rates; it shares its weights with the original."""
        return self.mc.model

    def to_dict(self) -> dict[str, Any]:
        """The table and the choice, as a checkpoint keeps them."""
        return {
            "score": self.score,
            "n_rows": self.n_rows,
            "n_samples": self.mc.n_samples,
            "seed": self.mc.seed,
            "rates": self.rates,
            "candidates": [_candidate_dict(each) for each in self.candidates],
        }

    def table(self) -> str:
        """The candidates as text, one in a line; `*` marks the chosen one, `+` those that are good enough."""
        width = max(len(_rates_text(each.rates)) for each in self.candidates)
        head = f"{'':2}{'rates':{width}} {self.score:>10} {'se':>9} {'behind':>10} {'se':>9}"
        return "\n".join([head, *(self._line(each, width) for each in self.candidates)])

    def __str__(self) -> str:
        return self.table()

    def _line(self, each: Candidate, width: int) -> str:
        mark = "*" if each is self.chosen else "+" if each.good_enough else ""
        score, behind = each.score, each.behind
        return (
            f"{mark:2}{_rates_text(each.rates):{width}} {score.value:10.5g} {score.standard_error:9.2g} "
            f"{behind.value:10.3g} {behind.standard_error:9.2g}"
        )


def chosen_among(trial: Trial, results: Sequence[Result]) -> TunedRates:
    """What was tried, judged; the first result is of the rates that the model had."""
    best = min(results, key=lambda result: math.inf if math.isnan(result.mean) else result.mean)
    candidates = tuple(_candidate(result, best, trial.distance(result.rates)) for result in results)
    leader = next(each for each, result in zip(candidates, results, strict=True) if result is best)
    good = [each for each in candidates if each.good_enough]
    chosen = min(good, key=lambda each: (each.distance, each.score.value))
    mc = trial.sampled(chosen.rates, tau=chosen.tau)
    found = TunedRates(candidates, leader, chosen, mc, trial.score, len(results[0].losses))
    vars(mc.model)["tuned_rates"] = found.to_dict()  # what `save` writes, and the doctor looks for
    return found


def _candidate(result: Result, best: Result, distance: float) -> Candidate:
    gap = _estimate(torch.where(result.losses == best.losses, 0.0, result.losses - best.losses))
    good = result is best or gap.value <= gap.standard_error
    return Candidate(result.rates, _estimate(result.losses), gap, result.tau, distance, good)


def _estimate(values: Tensor) -> Estimate:
    error = values.std().item() / math.sqrt(len(values)) if len(values) > 1 else math.nan
    return Estimate(values.mean().item(), error)


def _candidate_dict(each: Candidate) -> dict[str, Any]:
    return {
        "rates": dict(each.rates),
        "score": _finite(each.score.value),
        "score_error": _finite(each.score.standard_error),
        "behind": _finite(each.behind.value),
        "behind_error": _finite(each.behind.standard_error),
        "tau": each.tau,
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _rates_text(rates: Mapping[str, float]) -> str:
    return ", ".join(f"{group}: {p:g}" for group, p in rates.items()) or "as they were"
