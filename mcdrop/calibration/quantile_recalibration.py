"""Quantile recalibration: which level to ask the model for, so that a wanted share of outcomes lies below.

If 70 % of held-out outcomes fall below the model's 0.9 quantile, then that is the quantile at 0.7. The map
between the two is the distribution function of the PIT values of held-out rows.

Alphabet: N rows, K knots, ... further dimensions (outputs, which share the map).
"""

from dataclasses import dataclass
from typing import Any, ClassVar, Final

import numpy as np
import torch
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.shapes import TensorLike, check_rows, probabilities

__all__ = ["QuantileRecalibration", "fit_quantile_recalibration"]

_LEAST_ROWS: Final = 50
_MOST_KNOTS: Final = 1000


@dataclass(frozen=True)
class QuantileRecalibration(Calibrator):
    """A fitted map between levels.

    Attributes:
        stated: (K,) levels of the model, increasing from 0 to 1.
        observed: (K,) shares of outcomes that lay below, non-decreasing from 0 to 1.
    """

    kind: ClassVar[str] = "quantile_recalibration"

    stated: tuple[float, ...]
    observed: tuple[float, ...]

    def apply(self, level: TensorLike) -> Tensor:
        """The level to ask the model for.

        Args:
            level: (...) wanted levels, between 0 and 1.

        Returns:
            (...) the model's levels, between 0 and 1.

        Raises:
            DomainError: If a level lies outside [0, 1].
        """
        wanted = probabilities("level", level, "...")
        # where the map is flat the first of its places counts: the lowest level that reaches what is wanted
        observed, first = np.unique(np.asarray(self.observed), return_index=True)
        return _interpolated(wanted, observed, np.asarray(self.stated)[first])

    def recalibrated(self, pit: TensorLike) -> Tensor:
        """The PIT values under the recalibrated law.

        Args:
            pit: (...) those under the model's, between 0 and 1.

        Raises:
            DomainError: If a value lies outside [0, 1].
        """
        checked = probabilities("pit", pit, "...")
        return _interpolated(checked, np.asarray(self.stated), np.asarray(self.observed))

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"stated": tuple(data["stated"]), "observed": tuple(data["observed"])}


def fit_quantile_recalibration(
    pit: TensorLike, *, settings: SamplingSettings | None = None, digest: str | None = None
) -> QuantileRecalibration:
    """The distribution function of the PIT values, with straight lines between its knots.

    The paper fits it by isotonic regression, which changes nothing, since the function is non-decreasing by
    itself. Of more than 1000 values as many knots are kept, evenly spread.

    Args:
        pit: (N, ...) PIT values of held-out rows.
        settings: How the samples were drawn.
        digest: Of the rows; made from `pit` if it is not given.

    Returns:
        The calibrator.

    Raises:
        DomainError: If a value lies outside [0, 1].
        TooFewRowsError: If there are fewer than 50 rows.

    Source:
        Kuleshov, Fenner and Ermon 2018, arXiv:1807.00263, algorithm 1.
    """
    values = probabilities("pit", pit, "N, ...")
    check_rows(len(values), needed=_LEAST_ROWS, what="quantile recalibration")
    places, counts = values.flatten().unique(return_counts=True)
    below = counts.cumsum(0).to(torch.float64) / values.numel()
    kept = torch.linspace(0, len(places) - 1, min(len(places), _MOST_KNOTS), device="cpu").round().long()
    stated, observed = _with_ends(places[kept], below[kept])
    return QuantileRecalibration(record(len(values), settings, digest or data_digest(pit)), stated, observed)


def _with_ends(places: Tensor, below: Tensor) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Knots from (0, 0) to (1, 1)."""
    stated, observed = places.tolist(), below.tolist()
    first = [] if stated[0] == 0 else [(0.0, 0.0)]
    last = [] if stated[-1] == 1 else [(1.0, 1.0)]
    knots = [*first, *zip(stated, observed, strict=True), *last]
    return tuple(stated for stated, _ in knots), tuple(observed for _, observed in knots)


def _interpolated(x: Tensor, knots: Any, values: Any) -> Tensor:
    mapped = np.interp(x.numpy(force=True), knots, values)
    return torch.as_tensor(mapped, dtype=torch.float64, device=x.device)
