"""What the predictives of all classifiers have: labels and entropies."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.predictive.plotting import plot_entropies
from mcdrop.predictive.predictive import ROWS_FIRST, Predictive, fitted
from mcdrop.selective import SelectiveThreshold
from mcdrop.uncertainty import epistemic_entropy

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["LabelPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True, repr=False)
class LabelPredictive(Predictive):
    """Probabilities of labels for N rows. Abstract. All entropies are in nats.

    Attributes:
        total_entropy: (N, ...) entropy of the mean law, float64.
        mean_entropy: (N, ...) mean entropy of one sample's law, float64.
    """

    outputs: ClassVar[tuple[str, ...]] = (
        "label",
        "mean",
        "std",
        "standard_error",
        "predictive_entropy",
        "expected_entropy",
        "mutual_information",
        "deterministic",
    )
    default_outputs: ClassVar[tuple[str, ...]] = (
        "label",
        "mean",
        "std",
        "predictive_entropy",
        "mutual_information",
    )

    total_entropy: Tensor = field(metadata=ROWS_FIRST)
    mean_entropy: Tensor = field(metadata=ROWS_FIRST)

    @property
    def answered(self) -> Tensor:
        """(N, ...) bool, whether a row is sure enough to be answered at the promised risk.

        Raises:
            NotFittedError: If no threshold was fitted.
        """
        found = fitted(self.calibrators, SelectiveThreshold, method="selective")
        return found.apply(self.total_entropy)

    def available_outputs(self) -> tuple[str, ...]:
        """Names of the outputs; with a fitted threshold also whether a row is answered."""
        names = super().available_outputs()
        selective = any(isinstance(each, SelectiveThreshold) for each in self.calibrators)
        return (*names, "answered") if selective else names

    def plot(self, x: Tensor | NDArray[Any] | None = None, *, ax: "Axes | None" = None) -> "Axes":
        """Draw every row at its aleatoric and its epistemic uncertainty, by matplotlib.

        Args:
            x: None: it is for regressions on one number.
            ax: Where to draw; new axes if not given.

        Returns:
            The axes, to be restyled.

        Raises:
            OptionError: If `x` is given.
        """
        return plot_entropies(self, None if x is None else torch.as_tensor(x), ax)

    @property
    def predictive_entropy(self) -> Tensor:
        """(N, ...) nats, the total: entropy of the mean law."""
        return self.total_entropy.to(dtype=self.mean.dtype)

    @property
    def expected_entropy(self) -> Tensor:
        """(N, ...) nats, the aleatoric part: mean entropy of one sample's law."""
        return self.mean_entropy.to(dtype=self.mean.dtype)

    @property
    def mutual_information(self) -> Tensor:
        """(N, ...) nats, the epistemic part: what a label would tell about the weights (BALD).

        Source:
            Houlsby et al. 2011, arXiv:1112.5745, eq. 2.
        """
        return epistemic_entropy(self.total_entropy, self.mean_entropy).to(dtype=self.mean.dtype)
