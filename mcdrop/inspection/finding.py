"""Findings: what the doctor can say, each kind with a stable code, and one that it says of a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final

__all__ = ["CATALOGUE", "Finding", "Kind", "Severity"]


class Severity(IntEnum):
    """How much a finding matters; they compare."""

    HINT = 1
    WARNING = 2
    ERROR = 3

    @property
    def word(self) -> str:
        """`hint`, `warning` or `error`."""
        return self.name.lower()


@dataclass(frozen=True)
class Kind:
    """What all findings of one code have in common.

    Attributes:
        title: What is wrong.
        severity: Unless a finding says otherwise.
        todo: What to do.
    """

    title: str
    severity: Severity
    todo: str


@dataclass(frozen=True)
class Finding:
    """Something that is wrong with a model, or may be.

    Attributes:
        code: Stable: `MC001`, ...
        severity: How much it matters.
        module: Path of the module that it is about; empty for the model itself.
        message: What was seen, in a sentence with its numbers.
        evidence: The numbers by name; NaN is None.
    """

    code: str
    severity: Severity
    module: str
    message: str
    evidence: Mapping[str, float | int | str | None] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """What is wrong, in a few words."""
        return CATALOGUE[self.code].title

    @property
    def todo(self) -> str:
        """What to do."""
        return CATALOGUE[self.code].todo

    @property
    def page(self) -> str:
        """The page of the documentation, from the root of the repository."""
        return f"docs/findings/{self.code}.md"

    def to_dict(self) -> dict[str, object]:
        """Everything, as JSON takes it."""
        return {
            "code": self.code,
            "severity": self.severity.word,
            "module": self.module,
            "title": self.title,
            "message": self.message,
            "evidence": dict(self.evidence),
            "todo": self.todo,
            "page": self.page,
        }


CATALOGUE: Final[dict[str, Kind]] = {
    "MC001": Kind(
        "Nothing is random",
        Severity.ERROR,
        "see that forward reaches the dropout; if there is none, train with some, or try mcdrop.inject",
    ),
    "MC002": Kind(
        "A rate of 0",
        Severity.HINT,
        "set the rate that the model was trained with; where that was 0, this layer adds no uncertainty",
    ),
    "MC003": Kind(
        "The model cannot be sampled", Severity.ERROR, "change what the message names; nothing was sampled"
    ),
    "MC004": Kind(
        "A part that cannot be seen into",
        Severity.ERROR,
        "inspect and sample the Python module that it was made from",
    ),
    "MC005": Kind(
        "The output does not move with its masks",
        Severity.ERROR,
        "see that what the dropout acts on reaches the output",
    ),
    "MC006": Kind(
        "Dropout feeds a batch norm",
        Severity.WARNING,
        "move the dropout behind the last batch norm, or retrain without it there",
    ),
    "MC007": Kind(
        "An unusual rate for this kind of layer",
        Severity.HINT,
        "compare a few rates on validation data (mcdrop.tune_rates)",
    ),
    "MC008": Kind(
        "One rate everywhere",
        Severity.HINT,
        "let layers of different kinds have rates of their own, chosen on validation data",
    ),
    "MC009": Kind("Dropout on the output", Severity.WARNING, "put the dropout before the last layer"),
    "MC010": Kind(
        "A rate so high that the mean shifts",
        Severity.WARNING,
        "lower this rate, or serve the Monte Carlo mean and never the deterministic pass",
    ),
    "MC011": Kind(
        "Deterministic and Monte Carlo means far apart",
        Severity.WARNING,
        "decide which of the two is served, score both (mcdrop report), and say which it is",
    ),
    "MC012": Kind(
        "Too few samples for the precision asked",
        Severity.WARNING,
        "take more samples, or ask for less",
    ),
    "MC013": Kind(
        "Element-wise dropout on convolutional features",
        Severity.HINT,
        "train with dropout of whole channels (nn.Dropout2d) or blocks instead",
    ),
    "MC014": Kind(
        "Another mask at each time step of a recurrent network",
        Severity.HINT,
        "train with one mask for all time steps (variational dropout)",
    ),
    "MC015": Kind(
        "The model is left in train mode",
        Severity.WARNING,
        "call model.eval() before the model is used by itself",
    ),
    "MC016": Kind(
        "Too much dropout for the network to learn",
        Severity.WARNING,
        "train again with a lower rate at the module named",
    ),
    "MC017": Kind(
        "Injected dropout that was not tuned",
        Severity.WARNING,
        "choose its rates on validation data (mcdrop.tune_rates)",
    ),
    "MC018": Kind(
        "Dropout that stays on in eval mode",
        Severity.WARNING,
        "pass training=self.training, or dropout_p=self.p if self.training else 0.0",
    ),
    "MC019": Kind(
        "A site that reaches no output",
        Severity.HINT,
        "remove the layer, or see why what it acts on is not used",
    ),
}
"""Every kind by its code. A code keeps its meaning; new kinds take new codes."""
