"""The predictives of classifiers with one logit for each question: yes or no."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from mcdrop.predictive.entropies import LabelPredictive

__all__ = ["BinaryPredictive", "MultilabelPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class BinaryPredictive(LabelPredictive):
    """Probabilities P(y = 1) of N rows; entropies are of the law over the two classes."""

    task: ClassVar[str] = "binary"

    @property
    def label(self) -> Tensor:
        """(N, ...) int64: 1 where the mean probability is above one half."""
        return (self.mean > 0.5).to(torch.int64)


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class MultilabelPredictive(LabelPredictive):
    """Probabilities (N, L) of L labels, each of which a row has or has not; measures are (N, L) too."""

    task: ClassVar[str] = "multilabel"

    @property
    def label(self) -> Tensor:
        """(N, L) int64: 1 where the mean probability is above one half."""
        return (self.mean > 0.5).to(torch.int64)
