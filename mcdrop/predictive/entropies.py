"""What the predictives of all classifiers have: labels and entropies."""

from dataclasses import dataclass, field
from typing import ClassVar

from torch import Tensor

from mcdrop.predictive.predictive import ROWS_FIRST, Predictive
from mcdrop.uncertainty import epistemic_entropy

__all__ = ["LabelPredictive"]


@dataclass(frozen=True, eq=False, kw_only=True)
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
    def predictive_entropy(self) -> Tensor:
        """(N, ...) nats, the total: entropy of the mean law."""
        return self.total_entropy.to(self.mean.dtype)

    @property
    def expected_entropy(self) -> Tensor:
        """(N, ...) nats, the aleatoric part: mean entropy of one sample's law."""
        return self.mean_entropy.to(self.mean.dtype)

    @property
    def mutual_information(self) -> Tensor:
        """(N, ...) nats, the epistemic part: what a label would tell about the weights (BALD).

        Source:
            Houlsby et al. 2011, arXiv:1112.5745, eq. 2.
        """
        return epistemic_entropy(self.total_entropy, self.mean_entropy).to(self.mean.dtype)
