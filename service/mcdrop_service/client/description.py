"""What a service says of a model: enough to ask it, and to make a predictive of its answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mcdrop.calibration.fitted import Calibrator
from mcdrop.errors import McdropError
from mcdrop.predictive.calibrated import fitted_tau, promised_levels, read_calibrators
from mcdrop_service.client.errors import UnreadableAnswerError

__all__ = ["InputDescription", "ModelDescription", "described"]


@dataclass(frozen=True)
class InputDescription:
    """One input.

    Attributes:
        name: Its name.
        dtype: NumPy's name of its dtype.
        shape: With the rows as -1, and -1 where a length varies.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


@dataclass(frozen=True)
class ModelDescription:
    """A served model.

    Attributes:
        name: In the address.
        version: Of its checkpoint.
        digest: `sha256:` and the digest of the checkpoint's manifest.
        fingerprint: Equal ones give equal bits.
        batch_invariance: `bitwise` or `tolerance`.
        task: What its outputs mean.
        inputs: What it takes, in order.
        outputs: What the service can answer by name.
        n_samples: Where a request does not say.
        max_n_samples: Most that a request may ask for.
        seed: Where a request does not say.
        calibrators: That correct its answers.
        document: All that the service says, as it says it: classes, units, scores, ...
    """

    name: str
    version: str
    digest: str
    fingerprint: str
    batch_invariance: str
    task: str
    inputs: tuple[InputDescription, ...]
    outputs: tuple[str, ...]
    n_samples: int
    max_n_samples: int
    seed: int
    calibrators: tuple[Calibrator, ...]
    document: Mapping[str, Any]

    @property
    def fields(self) -> tuple[str, ...]:
        """What a predictive is made of, and what people ask for, which the operator's histograms count."""
        return tuple(dict.fromkeys([*self.document["default_outputs"], *self.document["fields"]]))

    def levels(self, quantiles: tuple[float, ...]) -> tuple[float, ...]:
        """The levels that a predictive holds: those asked for, and those of promised intervals."""
        return promised_levels(self.calibrators, quantiles)

    def facts(self) -> dict[str, Any]:
        """What the predictive of this task has beside its tensors."""
        return {
            "task": self.task,
            "class_axis": self.document["class_axis"],
            "tau": fitted_tau(self.calibrators, self.document["tau"]),
            "calibrators": self.document["calibrators"],
        }


def described(document: Any) -> ModelDescription:
    """The description in the answer of `GET /v1/models/{name}`.

    Raises:
        UnreadableAnswerError: If something is missing.
    """
    try:
        return ModelDescription(
            name=document["model"],
            inputs=tuple(
                InputDescription(each["name"], each["dtype"], tuple(each["shape"]))
                for each in document["inputs"]
            ),
            outputs=tuple(document["outputs"]),
            calibrators=read_calibrators(document["calibrators"]),
            document=document,
            **{name: document[name] for name in _AS_THEY_COME},
        )
    except (KeyError, TypeError, McdropError) as error:
        raise UnreadableAnswerError(
            f"the description of the model cannot be read ({error!r}): is the service of the same version of "
            "mcdrop as this client?"
        ) from error


_AS_THEY_COME = (
    "version",
    "digest",
    "fingerprint",
    "batch_invariance",
    "task",
    "n_samples",
    "max_n_samples",
    "seed",
)
