"""What every calibrator records: the sampling and the data that it was fitted with.

A calibrator corrects one way of predicting. Under other sampling settings its promise is void: fitted with
100 samples and used with 10, intervals of 90 % cover 87 %.
"""

import hashlib
import math
from abc import ABC
from dataclasses import asdict, astuple, dataclass, fields, is_dataclass
from typing import Any, ClassVar, NamedTuple, Self

from mcdrop.errors import OptionError
from mcdrop.shapes import TensorLike, float64

__all__ = ["Calibrator", "FittedWith", "SamplingSettings", "data_digest", "record"]


class SamplingSettings(NamedTuple):
    """How predictions are sampled.

    Attributes:
        n_samples: S.
        masks: `consistent` or `independent`.
        seed: Of the masks.
        rng: Name of the generator.
    """

    n_samples: int
    masks: str
    seed: int
    rng: str


@dataclass(frozen=True)
class FittedWith:
    """The record of a fit.

    Attributes:
        n_rows: How many rows.
        data_digest: Of these rows.
        n_samples: S; None, like the following, if the predictions came from elsewhere.
        masks: `consistent` or `independent`.
        seed: Of the masks.
        rng: Name of the generator.
        behind: Kinds of the calibrators that had corrected the law of these predictions; None if unknown.
    """

    n_rows: int
    data_digest: str
    n_samples: int | None = None
    masks: str | None = None
    seed: int | None = None
    rng: str | None = None
    behind: tuple[str, ...] | None = None

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The record from what `asdict` or parsed JSON gave."""
        behind = data.get("behind")
        return cls(**{**data, "behind": None if behind is None else tuple(behind)})

    def differences(self, settings: SamplingSettings) -> tuple[str, ...]:
        """How `settings` differ from those of the fit, one phrase each; empty if they do not."""
        return tuple(
            f"{name} is {value}, fitted with {getattr(self, name)}"
            for name, value in settings._asdict().items()
            if getattr(self, name) != value
        )


@dataclass(frozen=True)
class Calibrator(ABC):
    """A fitted correction. Abstract: each kind adds its parameters and an `apply`.

    Attributes:
        fitted_with: The record of the fit.
    """

    kind: ClassVar[str] = ""

    fitted_with: FittedWith

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the `kind`."""
        return {"kind": self.kind, **asdict(self)}

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The calibrator from what `to_dict` or parsed JSON gave.

        Raises:
            OptionError: If it is of another kind, or a value is missing, unknown or no number.
        """
        wanted = {each.name for each in fields(cls)}
        came = {key: value for key, value in data.items() if key != "kind"}
        if data.get("kind") != cls.kind or came.keys() != wanted:
            needed = ", ".join(sorted(wanted))
            raise OptionError(
                f"a {cls.kind} calibrator must have kind {cls.kind!r} and {needed}, got {sorted(data)}"
            )
        values = {name: value for name, value in (came | cls._read(came)).items() if name != "fitted_with"}
        for name, value in values.items():
            _check_numbers(name, value)
        return cls(**values, fitted_with=FittedWith.from_dict(data["fitted_with"]))

    @classmethod
    def _read(cls, _data: dict[str, Any]) -> dict[str, Any]:
        """Values that JSON changes (tuples, nested records), as this kind wants them."""
        return {}


def _check_numbers(name: str, value: object) -> None:
    """Refuse what a file may hold in place of numbers."""
    if isinstance(value, tuple):
        for part in value:
            _check_numbers(name, part)
    elif is_dataclass(value) and not isinstance(value, type):
        _check_numbers(name, astuple(value))
    elif not isinstance(value, int | float) or math.isnan(value):
        raise OptionError(f"{name} of a calibrator must hold numbers, got {value!r:.80}")


def record(n_rows: int, settings: SamplingSettings | None, digest: str) -> FittedWith:
    """The record of a fit on `n_rows` rows; without settings it is of predictions from elsewhere."""
    return FittedWith(n_rows, digest, *settings) if settings else FittedWith(n_rows, digest)


def data_digest(*arrays: TensorLike) -> str:
    """`sha256:` and the hash of the numbers, as float64 with their shapes; of tensors and arrays the same."""
    digest = hashlib.sha256()
    for array in arrays:
        values = float64("data", array).cpu().contiguous()
        digest.update(repr(tuple(values.shape)).encode())
        digest.update(values.numpy().tobytes())
    return "sha256:" + digest.hexdigest()
