"""The parts of the uncertainty, and the rows that stand out.

Alphabet: N rows, ... further dimensions, which are averaged within a row.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from mcdrop.assessment.sections import RowFact, UncertaintyPart

__all__ = ["Described", "standing_out", "uncertainty_parts"]

_SHOWN: Final = 10


def uncertainty_parts(parts: Mapping[str, Tensor], wrong: Tensor | None) -> tuple[UncertaintyPart, ...]:
    """Mean, median and 90 % point of each part, and its mean where the prediction is right and wrong.

    Args:
        parts: (N, ...) by name.
        wrong: (N, ...) 1 where the prediction is wrong, else 0; None for a regression.
    """
    return tuple(_part(name, values, wrong) for name, values in parts.items())


@dataclass(frozen=True)
class Described:
    """What is said of single rows.

    Attributes:
        outcome: From a row to what was observed.
        prediction: From a row to what was said.
        confidence: (N,) probability of the predicted class; None for a regression.
        total: (N,) uncertainty.
        epistemic: (N,) part of it; None if it is not known.
        surprise: (N,) how confidently wrong a row is; -infinity where it is right.
    """

    outcome: Callable[[int], str]
    prediction: Callable[[int], str]
    confidence: Tensor | None
    total: Tensor
    epistemic: Tensor | None
    surprise: Tensor


def standing_out(rows: Described) -> tuple[RowFact, ...]:
    """The ten most uncertain rows, then the ten most confidently wrong ones; of equals the first."""
    uncertain = rows.total.argsort(descending=True, stable=True)[:_SHOWN].tolist()
    order = rows.surprise.argsort(descending=True, stable=True)[:_SHOWN].tolist()
    wrong = [row for row in order if rows.surprise[row].item() > -float("inf")]
    return tuple(
        _fact(rows, reason, row)
        for reason, chosen in (("uncertain", uncertain), ("wrong", wrong))
        for row in chosen
    )


def _part(name: str, values: Tensor, wrong: Tensor | None) -> UncertaintyPart:
    flat = values.to(torch.float64).flatten()
    ordered = flat.sort().values
    median, high = (ordered[round(share * (len(ordered) - 1))].item() for share in (0.5, 0.9))
    if wrong is None:
        return UncertaintyPart(name, flat.mean().item(), median, high)
    mistaken = wrong.flatten() > 0
    right, lost = _mean(flat[~mistaken]), _mean(flat[mistaken])
    return UncertaintyPart(name, flat.mean().item(), median, high, right, lost)


def _mean(values: Tensor) -> float | None:
    return values.mean().item() if len(values) else None


def _fact(rows: Described, reason: str, row: int) -> RowFact:
    return RowFact(
        reason,
        row,
        rows.outcome(row),
        rows.prediction(row),
        None if rows.confidence is None else rows.confidence[row].item(),
        rows.total[row].item(),
        None if rows.epistemic is None else rows.epistemic[row].item(),
    )
