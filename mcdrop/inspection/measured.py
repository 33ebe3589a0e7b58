"""Checks of what the samples say: shifted means, too few samples, a network that did not learn."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mcdrop.errors import ShapeError
from mcdrop.inspection.examination import Examination, Shift
from mcdrop.inspection.finding import CATALOGUE, Finding
from mcdrop.predictive import Predictive
from mcdrop.shapes import class_labels, event_labels, float64

__all__ = ["CHECKS"]

_CLEAR: Final = 5.0
"""Standard errors from which on a difference is no accident."""
_HIGH_RATE: Final = 0.5
_SITE_STDS: Final = 0.5
_ALL_STDS: Final = 1.0
_NEAR_CHANCE: Final = 0.1
_FAR_BELOW: Final = 0.5
_EVENTS: Final = ("binary", "multilabel")


def _shifted_sites(seen: Examination) -> Iterator[Finding]:
    for each in seen.sites:
        p = each.p
        if p is not None and p >= _HIGH_RATE and _is_far(each.shift, _SITE_STDS):
            yield Finding(
                "MC010",
                CATALOGUE["MC010"].severity,
                each.site.module,
                f"with {each.name} (rate {p:g}) alone on, the mean lies {_far(each.shift)} from the "
                f"deterministic pass; {each.carried}",
                each.evidence(shift_errors=each.shift.errors, shift_stds=each.shift.stds),
            )


def _shifted(seen: Examination) -> Iterator[Finding]:
    if _is_far(seen.shift, _ALL_STDS):
        strongest = max(seen.sites, key=lambda each: each.shift.stds)
        yield Finding(
            "MC011",
            CATALOGUE["MC011"].severity,
            "",
            f"the Monte Carlo mean lies {_far(seen.shift)} from the deterministic pass; of the sites alone, "
            f"{strongest.name} shifts it most ({strongest.shift.stds:.2g} standard deviations)",
            {"shift_errors": seen.shift.errors, "shift_stds": seen.shift.stds, "site": strongest.site.name},
        )


def _is_far(shift: Shift, stds: float) -> bool:
    return shift.errors > _CLEAR and shift.stds > stds


def _far(shift: Shift) -> str:
    return f"{shift.stds:.2g} standard deviations of the samples ({shift.errors:.1f} Monte Carlo errors)"


def _too_few(seen: Examination) -> Iterator[Finding]:
    pred = seen.predictive
    spread = _rms(pred.sample_std)
    error = _rms(pred.standard_error)
    if spread > 0 and error > seen.asked.precision * spread:
        needed = math.ceil(pred.n_samples * (error / (seen.asked.precision * spread)) ** 2)
        yield Finding(
            "MC012",
            CATALOGUE["MC012"].severity,
            "",
            f"{pred.n_samples} samples give the mean with an error of {error / spread:.2f} standard "
            f"deviations, and {seen.asked.precision:g} is asked for: that takes about {needed}",
            {
                "n_samples": pred.n_samples,
                "error": error / spread,
                "precision": seen.asked.precision,
                "needed": needed,
            },
        )


def _rms(values: Tensor) -> float:
    return values.to(torch.float64).square().mean().sqrt().item()


# --- what was learned --------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Learned:
    """Skill against always saying the same: 1 is perfect, 0 no better than that.

    Attributes:
        sampled: Of the Monte Carlo mean.
        single: Of the deterministic pass: the same network without its dropout.
        gap: Of the two losses, in standard errors of their paired difference.
    """

    sampled: float
    single: float
    gap: float


def _unlearned(seen: Examination) -> Iterator[Finding]:
    rated = [each for each in seen.sites if each.p is not None and each.p >= _HIGH_RATE]
    learned = None if seen.asked.y is None else _learned(seen.predictive, seen.asked.y)
    if learned is None or not rated or not _is_poor(learned):
        return
    worst = max(rated, key=lambda each: each.p or 0.0)
    yield Finding(
        "MC016",
        CATALOGUE["MC016"].severity,
        worst.site.module,
        f"of the error of always saying the same, the sampled network takes away {learned.sampled:.0%}, and "
        f"{learned.single:.0%} without its dropout ({learned.gap:.1f} standard errors apart); the highest "
        f"rate is {worst.p:g}, at {worst.name}",
        worst.evidence(skill=learned.sampled, deterministic_skill=learned.single, gap_errors=learned.gap),
    )


def _is_poor(learned: _Learned) -> bool:
    far_below = learned.gap > _CLEAR and learned.sampled < _FAR_BELOW * learned.single
    return learned.sampled < _NEAR_CHANCE or far_below


def _learned(pred: Predictive, y: Tensor) -> _Learned | None:
    """Skill by squared errors: of probabilities the Brier score, of a regression its mean square."""
    truth = _as_law(pred, y)
    if truth is None or len(truth) < 2:
        return None
    usual = _losses(truth.mean(0, keepdim=True), truth)
    if usual.mean() == 0:
        return None
    sampled, single = _losses(pred.mean, truth), _losses(pred.deterministic, truth)
    gap = sampled - single
    error = gap.std() / math.sqrt(len(gap))
    ratio = (gap.mean() / error).item() if error > 0 else 0.0
    skills = [(1 - losses.mean() / usual.mean()).item() for losses in (sampled, single)]
    return _Learned(skills[0], skills[1], ratio)


def _losses(forecast: Tensor, truth: Tensor) -> Tensor:
    """(N,) squared distance."""
    return (forecast.to(torch.float64) - truth).square().reshape(len(truth), -1).sum(1)


def _as_law(pred: Predictive, y: Tensor) -> Tensor | None:
    """(N, ...) outcomes in the shape of the mean: of a class, 1 for the one that came; None for `raw`."""
    if pred.task == "raw":
        return None
    outcomes, shape = y.to(pred.mean.device), list(pred.mean.shape)
    if pred.task == "classification":
        axis = getattr(pred, "class_axis", 1)
        classes = shape.pop(axis)
        labels = class_labels(outcomes, like=shape, classes=classes)
        return torch.nn.functional.one_hot(labels, classes).movedim(-1, axis).to(torch.float64)
    if outcomes.numel() != pred.mean.numel():
        raise ShapeError(
            f"y must have shape {tuple(shape)} like the predictions, got {tuple(outcomes.shape)}"
        )
    outcomes = outcomes.reshape(shape)
    return event_labels(outcomes, like=shape) if pred.task in _EVENTS else float64("y", outcomes)


CHECKS: Final = (_shifted_sites, _shifted, _too_few, _unlearned)
