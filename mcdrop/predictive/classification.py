"""The predictive of a classifier with one output for each class."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from mcdrop.conformal import AdaptiveSets
from mcdrop.predictive.entropies import LabelPredictive
from mcdrop.predictive.predictive import fitted

__all__ = ["ClassificationPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class ClassificationPredictive(LabelPredictive):
    """Class probabilities of N rows.

    Attributes:
        class_axis: The axis of the classes in `mean`.
    """

    task: ClassVar[str] = "classification"

    class_axis: int = 1

    @property
    def prediction_set(self) -> Tensor:
        """(N, C) bool, the classes in the set that holds the label with the promised probability.

        Raises:
            NotFittedError: If no sets were fitted.
        """
        sets = fitted(self.calibrators, AdaptiveSets, method="sets")
        return sets.apply(self.mean.movedim(self.class_axis, -1))

    def available_outputs(self) -> tuple[str, ...]:
        """Names of the outputs; with fitted sets also these."""
        names = super().available_outputs()
        sets = any(isinstance(each, AdaptiveSets) for each in self.calibrators)
        return (*names, "prediction_set") if sets else names

    @property
    def label(self) -> Tensor:
        """(N, ...) int64, the most probable class under the mean law; the first of equals."""
        return self.mean.argmax(self.class_axis)
