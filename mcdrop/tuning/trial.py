"""A trial: the losses of held-out rows with some rates.

Every candidate is sampled with the same masks: a mask is a function of seed, site and element, and an element
that is dropped at one rate is dropped at every higher one. So differences between candidates are those of the
rates.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from torch import Tensor, nn

from mcdrop.calibration.noise_precision import fit_noise_precision
from mcdrop.errors import OptionError
from mcdrop.mcdropout import MCDropout, like
from mcdrop.metrics.classification import binary_negative_log_likelihood, negative_log_likelihood
from mcdrop.metrics.crps import crps_mixture
from mcdrop.metrics.regression import mixture_negative_log_likelihood
from mcdrop.predictive import HeteroscedasticPredictive, Predictive
from mcdrop.rates import Rate, rates_meant, with_rates
from mcdrop.tuning.held_out import HeldOut

__all__ = ["Result", "Trial", "members"]

_INJECTED: Final = ("injected_before", "injected_after", "injected_dropout")


@dataclass(frozen=True, eq=False)
class Result:
    """What some rates give.

    Attributes:
        rates: By group; empty for those that the model had.
        losses: (N,) less is better.
        tau: The noise precision that was fitted, for a regression.
    """

    rates: Mapping[str, float]
    losses: Tensor
    tau: float | None

    @property
    def mean(self) -> float:
        """Over the rows."""
        return self.losses.mean().item()


@dataclass(frozen=True, eq=False)
class Trial:
    """A model, and rows to judge it by.

    Attributes:
        mc: The model.
        rows: The held-out rows.
        groups: The rates of each group, as they were.
        score: `nll` or `crps`.
        n_samples: S; None for that of `mc`.
        seed: Of the masks; None for that of `mc`.
    """

    mc: MCDropout
    rows: HeldOut
    groups: Mapping[str, Sequence[Rate]]
    score: str
    n_samples: int | None
    seed: int | None

    def at(self, rates: Mapping[str, float]) -> Result:
        """The losses with some rates, by group.

        Raises:
            ShapeError: If there is not an outcome for each row.
            InputError: If a loader gives other rows than before.
        """
        keep = self.mc.task in ("regression", "heteroscedastic")
        pred, y = self.rows.predicted(self.sampled(rates), keep_samples=keep)
        losses, tau = _losses(pred, y, self.score)
        return Result(dict(rates), losses.reshape(len(losses), -1).mean(1).cpu(), tau)

    def sampled(self, rates: Mapping[str, float], *, tau: float | None = None) -> MCDropout:
        """The model with some rates, sampled as the original."""
        given = {"n_samples": self.n_samples, "seed": self.seed}
        changed = {name: value for name, value in given.items() if value is not None}
        return like(self.mc, with_rates(self.mc.model, self._by_name(rates)), tau=tau, **changed)

    def distance(self, rates: Mapping[str, float]) -> float:
        """Mean distance from the rates of training, over the rates of all groups."""
        had = {rate.name: rate.p for group in self.groups.values() for rate in group}
        changed = {**had, **self._by_name(rates)}
        return sum(abs(changed[name] - _trained(name, p)) for name, p in had.items()) / len(had)

    def _by_name(self, rates: Mapping[str, float]) -> dict[str, float]:
        return {rate.name: p for group, p in rates.items() for rate in self.groups[group]}


def members(model: nn.Module, group: str) -> list[Rate]:
    """The rates that a glob means; those of 0 are off on purpose, and stay so.

    Raises:
        OptionError: If it matches no rate, or only rates of 0.
    """
    meant = rates_meant(model, group)
    active = [rate for rate in meant if rate.p > 0]
    if not active:
        raise OptionError(
            f"{group!r} matches only rates of 0, such as {meant[0].name}: what is off stays off; give it a "
            "rate with with_rates first, if it is to be tuned"
        )
    return active


def _trained(name: str, p: float) -> float:
    """The rate that the network was trained with: none, for what was injected later."""
    return 0.0 if any(part in _INJECTED for part in name.split(".")) else p


def _losses(pred: Predictive, y: Tensor, score: str) -> tuple[Tensor, float | None]:
    """(N, ...) losses, and for a regression the tau under which they are."""
    if pred.task == "classification":
        return negative_log_likelihood(pred.mean, y, class_axis=getattr(pred, "class_axis", 1)), None
    outcomes = y.reshape(pred.mean.shape)
    loss = crps_mixture if score == "crps" else mixture_negative_log_likelihood
    if isinstance(pred, HeteroscedasticPredictive):
        return loss(pred.samples, pred.noise_std, outcomes), None
    if pred.task != "regression":
        return binary_negative_log_likelihood(pred.mean, outcomes), None
    tau = fit_noise_precision(pred.samples, outcomes).tau
    return loss(pred.samples, tau**-0.5, outcomes), tau
