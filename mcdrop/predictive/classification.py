"""The predictive of a classifier with one output for each class."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mcdrop.predictive.entropies import LabelPredictive

__all__ = ["ClassificationPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True)
class ClassificationPredictive(LabelPredictive):
    """Class probabilities of N rows.

    Attributes:
        class_axis: The axis of the classes in `mean`.
    """

    task: ClassVar[str] = "classification"

    class_axis: int = 1

    @property
    def label(self) -> Tensor:
        """(N, ...) int64, the most probable class under the mean law; the first of equals."""
        return self.mean.argmax(self.class_axis)
