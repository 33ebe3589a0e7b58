"""Vector scaling, inside the average: a slope and an offset for each class.

p = mean_s softmax(a log p_s + b). Slopes act on log probabilities, which are what a law determines (logits
are known up to a number that is the same for all classes, and with unlike slopes that number would matter).
With one slope for all and no offset it is a temperature.

Alphabet: S samples, N rows, C classes (last), ... further dimensions.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.descent import minimise
from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.calibration.temperature import log_laws
from mcdrop.errors import ShapeError, TooFewRowsError
from mcdrop.shapes import TensorLike, check_rows, class_labels

__all__ = ["VectorScaling", "fit_vector_scaling"]

_LEAST_ROWS_PER_CLASS: Final = 10


@dataclass(frozen=True)
class VectorScaling(Calibrator):
    """Fitted slopes and offsets.

    Attributes:
        slopes: (C,) what log probabilities are multiplied by.
        offsets: (C,) what is added then; they sum to 0.
    """

    kind: ClassVar[str] = "vector_scaling"

    slopes: tuple[float, ...]
    offsets: tuple[float, ...]

    def apply(self, probs: TensorLike) -> Tensor:
        """The samples' laws, scaled; their mean is the calibrated prediction.

        Args:
            probs: (S, N, ..., C) class probabilities.

        Returns:
            (S, N, ..., C) class probabilities.

        Raises:
            ShapeError: If there is another number of classes than at the fit.
            DomainError: If `probs` does not hold probabilities that sum to 1.
        """
        logs = log_laws(probs)
        if logs.shape[-1] != len(self.slopes):
            raise ShapeError(f"probs must have {len(self.slopes)} classes, got shape {tuple(logs.shape)}")
        slopes, offsets = (
            torch.tensor(each, dtype=torch.float64, device=logs.device)
            for each in (self.slopes, self.offsets)
        )
        return (logs * slopes + offsets).softmax(-1)

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"slopes": tuple(data["slopes"]), "offsets": tuple(data["offsets"])}


def fit_vector_scaling(
    probs: TensorLike, y: TensorLike, *, settings: SamplingSettings | None = None, digest: str | None = None
) -> VectorScaling:
    """The slopes and offsets of the largest likelihood.

    Args:
        probs: (S, N, ..., C) class probabilities of held-out rows.
        y: (N, ...) their labels.
        settings: How the samples were drawn.
        digest: Of the rows; made from `probs` and `y` if it is not given.

    Returns:
        The calibrator.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
        TooFewRowsError: If there are fewer than 10 rows for each class, or none of some class: its offset
            would have no end.

    Source:
        Guo et al. 2017, arXiv:1706.04599, section 4.2; on log probabilities: Kull et al. 2019,
        arXiv:1910.12656, section 3 (there "diagonal Dirichlet calibration").
    """
    logs = log_laws(probs)
    classes = logs.shape[-1]
    labels = class_labels(y, like=logs.shape[1:-1], classes=classes)
    check_rows(
        len(labels), needed=_LEAST_ROWS_PER_CLASS * classes, what=f"vector scaling of {classes} classes"
    )
    _check_every_class(labels, classes)
    index = labels.unsqueeze(0).unsqueeze(-1).expand(*logs.shape[:-1], 1)

    def loss(both: Tensor, logs: Tensor, index: Tensor) -> Tensor:
        laws = (logs * both[:classes] + both[classes:]).log_softmax(-1)
        return -(laws.gather(-1, index).logsumexp(0) - math.log(len(logs))).mean()

    start = torch.cat([logs.new_ones(classes), logs.new_zeros(classes)])
    slopes, offsets = minimise(loss, start, logs, index).split(classes)
    fitted_with = record(len(labels), settings, digest or data_digest(probs, y))
    return VectorScaling(fitted_with, tuple(slopes.tolist()), tuple((offsets - offsets.mean()).tolist()))


def _check_every_class(labels: Tensor, classes: int) -> None:
    counts = torch.bincount(labels.flatten(), minlength=classes)
    if bool((counts == 0).any()):
        missing = int((counts == 0).nonzero()[0])
        raise TooFewRowsError(f"vector scaling needs rows of every class, got none of class {missing}")
