"""Platt scaling of an event's probability, inside the average: a slope and an offset for the log odds.

p = mean_s sigmoid(a logit(p_s) + b).

Alphabet: S samples, N rows, ... further dimensions (labels, which share the two numbers).
"""

from dataclasses import dataclass
from typing import ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.descent import minimise
from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.calibration.temperature import log_laws, two_classes
from mcdrop.errors import TooFewRowsError
from mcdrop.shapes import TensorLike, check_rows, event_labels

__all__ = ["PlattScaling", "fit_platt_scaling"]

_LEAST_ROWS: Final = 20


@dataclass(frozen=True)
class PlattScaling(Calibrator):
    """A fitted slope and offset.

    Attributes:
        slope: Below 1 makes predictions less confident.
        offset: Above 0 makes the event more probable.
    """

    kind: ClassVar[str] = "platt_scaling"

    slope: float
    offset: float

    def apply(self, p: TensorLike) -> Tensor:
        """The samples' probabilities, scaled; their mean is the calibrated prediction.

        Args:
            p: (S, N, ...) probabilities of the event.

        Returns:
            (S, N, ...) between 0 and 1.

        Raises:
            ShapeError: If `p` has fewer than two dimensions.
            DomainError: If a value lies outside [0, 1].
        """
        # torch's sigmoid rounds the last numbers of a tensor otherwise than the rest; these steps do not
        return 1 / (1 + (-self.slope * _log_odds(p) - self.offset).exp())


def fit_platt_scaling(
    p: TensorLike, y: TensorLike, *, settings: SamplingSettings | None = None, digest: str | None = None
) -> PlattScaling:
    """The slope and offset of the largest likelihood, with Platt's targets.

    The targets are (events + 1) / (events + 2) and 1 / (others + 2) instead of 1 and 0, so that separable
    rows do not make the slope infinite.

    Args:
        p: (S, N, ...) probabilities of the event, of held-out rows.
        y: (N, ...) outcomes, 0 or 1.
        settings: How the samples were drawn.
        digest: Of the rows; made from `p` and `y` if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.
        TooFewRowsError: If there are fewer than 20 rows, or all outcomes are the same.

    Source:
        Platt 1999, "Probabilistic outputs for support vector machines", section 2.2.
    """
    odds = _log_odds(p)
    event = event_labels(y, like=odds.shape[1:])
    check_rows(len(event), needed=_LEAST_ROWS, what="Platt scaling")
    events, others = event.sum(), (1 - event).sum()
    if events == 0 or others == 0:
        raise TooFewRowsError(
            f"Platt scaling needs rows of both outcomes, got only {int(event.flatten()[0])}"
        )
    target = torch.where(event == 1, (events + 1) / (events + 2), 1 / (others + 2))

    def loss(both: Tensor, odds: Tensor, target: Tensor) -> Tensor:
        law = (both[0] * odds + both[1]).sigmoid().mean(0).clamp(1e-300, 1 - 1e-16)
        return torch.nn.functional.binary_cross_entropy(law, target)

    start = torch.tensor([1.0, 0.0], dtype=torch.float64, device=odds.device)
    slope, offset = minimise(loss, start, odds, target).tolist()
    return PlattScaling(record(len(event), settings, digest or data_digest(p, y)), slope, offset)


def _log_odds(p: TensorLike) -> Tensor:
    logs = log_laws(two_classes(p))
    return logs[..., 1] - logs[..., 0]
