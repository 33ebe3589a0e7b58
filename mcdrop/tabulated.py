"""Predictions from elsewhere: arrays of other tools, with what `evaluate` asks of a prediction.

    probabilities   (N, C) or (N,), perhaps with (S, N, C) samples behind them
    samples         (S, N, ...) of class probabilities or of real values
    mean and std    (N, ...) of Gaussian predictions

Alphabet: S samples, N rows, C classes, ... further dimensions.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from torch import Tensor

from mcdrop.errors import OptionError, SamplesNotKeptError
from mcdrop.rowscores import GaussianMixture
from mcdrop.shapes import (
    SUM_TOLERANCE,
    TensorLike,
    float64,
    nonnegative,
    probability_laws,
    same_shape,
)
from mcdrop.shapes import probabilities as checked_probabilities

__all__ = ["KNOWN_ARRAYS", "TabulatedClasses", "TabulatedNumbers", "as_predictions", "tabulated"]

KNOWN_ARRAYS: Final = ("probabilities", "samples", "mean", "std", "deterministic")
"""What is read; `y` may stand beside them."""

_CLASSIFIERS: Final = ("classification", "binary", "multilabel")
_TASKS: Final = (*_CLASSIFIERS, "regression")


@dataclass(frozen=True)
class TabulatedClasses:
    """Class probabilities, or probabilities of events.

    Attributes:
        task: `classification`, `binary` or `multilabel`.
        mean: (N, ..., C) or (N, ...).
        kept: (S, N, ...) or None.
        deterministic: Like `mean`, or None.
    """

    task: str
    mean: Tensor
    kept: Tensor | None = None
    deterministic: Tensor | None = None
    class_axis: int = -1
    seed: int = 0

    def __repr__(self) -> str:
        """What it is of, in a line; no numbers."""
        return _told(self)

    @property
    def n_samples(self) -> int:
        """S; 0 if there are none."""
        return 0 if self.kept is None else len(self.kept)

    @property
    def samples(self) -> Tensor:
        """(S, N, ...).

        Raises:
            SamplesNotKeptError: If there are none.
        """
        if self.kept is None:
            raise SamplesNotKeptError("these predictions came without samples")
        return self.kept


@dataclass(frozen=True)
class TabulatedNumbers:
    """Real values: samples, or means with standard deviations.

    Attributes:
        samples: (S, N, ...); the means themselves (1, N, ...) if `noise_std` is their spread.
        noise_std: (1, N, ...) of Gaussian predictions; None for samples.
        deterministic: (N, ...), or None.
    """

    samples: Tensor
    noise_std: Tensor | None = None
    deterministic: Tensor | None = None
    task: str = "regression"
    tau: float | None = None
    seed: int = 0

    def __repr__(self) -> str:
        """What it is of, in a line; no numbers."""
        return _told(self)

    @property
    def n_samples(self) -> int:
        """S; 0 for Gaussian predictions."""
        return len(self.samples) if self.noise_std is None else 0

    @property
    def mean(self) -> Tensor:
        """(N, ...)."""
        return self.samples.mean(0)

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Ends of the central intervals, each (N, ...)."""
        return GaussianMixture(self.samples, self.noise_std).interval(level)


def _told(pred: TabulatedClasses | TabulatedNumbers) -> str:
    shape, samples = tuple(pred.mean.shape), pred.n_samples or "no"
    return f"{pred.task} of {shape[0]} rows, mean {shape}, {samples} samples"


def as_predictions(
    *,
    samples: TensorLike | None = None,
    probabilities: TensorLike | None = None,
    mean: TensorLike | None = None,
    std: TensorLike | None = None,
    deterministic: TensorLike | None = None,
    task: str | None = None,
) -> TabulatedClasses | TabulatedNumbers:
    """Predictions of another tool, such as a deep ensemble, for `mcdrop.evaluate`.

    Args:
        samples: (S, N, ...) what each member says: class probabilities (S, N, C), or real values.
        probabilities: (N, C) of classes or (N,) of an event, alone or beside `samples`.
        mean: (N, ...) of Gaussian predictions, with `std`.
        std: (N, ...) their standard deviations, noise included.
        deterministic: (N, ...) what a single model says, to compare with.
        task: `classification`, `binary`, `multilabel` or `regression`; by default seen from the arrays.

    Returns:
        The predictions.

    Raises:
        OptionError: If the arrays make no prediction, or more than one, or there is no such task.
        DomainError: If probabilities do not sum to 1, a std is negative, or a value is NaN.
        ShapeError: If the shapes do not fit.
    """
    given = {
        "samples": samples,
        "probabilities": probabilities,
        "mean": mean,
        "std": std,
        "deterministic": deterministic,
    }
    arrays = {name: value for name, value in given.items() if value is not None}
    if ("samples" in arrays or "probabilities" in arrays) and ("mean" in arrays or "std" in arrays):
        raise OptionError(
            f"samples, probabilities, and mean with std each say all, got {', '.join(arrays)}; give one "
            "(probabilities may stand beside samples). Of members that tell their own noise, give the mean "
            "of the mixture and its std, sqrt(means.var(0) + (stds**2).mean(0))"
        )
    return tabulated(arrays, task=task)


def tabulated(
    arrays: Mapping[str, TensorLike], *, task: str | None = None
) -> TabulatedClasses | TabulatedNumbers:
    """Predictions from arrays by name.

    Args:
        arrays: Some of `KNOWN_ARRAYS`; others are left alone.
        task: What they are; without it, probabilities (N, C) that sum to 1 are a classification, (N,) are
            binary, and everything else is a regression.

    Raises:
        OptionError: If the arrays make no prediction, or there is no such task.
        DomainError: If probabilities do not sum to 1, a std is negative, or a value is NaN.
        ShapeError: If the shapes do not fit.
    """
    if task is not None and task not in _TASKS:
        raise OptionError(f"predictions in arrays must be of task {', '.join(_TASKS)}, got {task!r}")
    tensors = {name: float64(name, arrays[name]) for name in KNOWN_ARRAYS if name in arrays}
    kind = task or _guessed(tensors)
    return _classes(tensors, kind) if kind in _CLASSIFIERS else _numbers(tensors)


def _guessed(tensors: Mapping[str, Tensor]) -> str:
    if "probabilities" in tensors:
        return "classification" if tensors["probabilities"].dim() > 1 else "binary"
    samples = tensors.get("samples")
    return "classification" if samples is not None and _are_laws(samples) else "regression"


def _are_laws(samples: Tensor) -> bool:
    if samples.dim() < 3 or samples.shape[-1] < 2:
        return False
    inside = bool(((samples >= 0) & (samples <= 1)).all())
    sums = (samples.sum(-1) - 1).abs() <= SUM_TOLERANCE
    return inside and bool(2 * sums.sum() > sums.numel())  # the few that do not are told of, not hidden


def _classes(tensors: Mapping[str, Tensor], task: str) -> TabulatedClasses:
    samples = tensors.get("samples")
    mean = tensors.get("probabilities", tensors.get("mean"))
    if mean is None and samples is not None:
        mean = samples.mean(0)
    if mean is None:
        raise OptionError(f"a {task} needs an array named probabilities or samples, got {_names(tensors)}")
    check = probability_laws if task == "classification" else checked_probabilities
    alphabet = "N, ..., C" if task == "classification" else "N, ..."
    if samples is not None:
        samples = check("samples", samples, f"S, {alphabet}")
    single = tensors.get("deterministic")
    if single is not None:
        single = check("deterministic", same_shape("deterministic", single, mean.shape), alphabet)
    return TabulatedClasses(task, check("probabilities", mean, alphabet), samples, single)


def _numbers(tensors: Mapping[str, Tensor]) -> TabulatedNumbers:
    single = tensors.get("deterministic")
    if "samples" in tensors:
        return TabulatedNumbers(tensors["samples"], None, single)
    if "mean" not in tensors or "std" not in tensors:
        raise OptionError(f"predictions need samples, mean and std, or probabilities, got {_names(tensors)}")
    mean = tensors["mean"]
    std = nonnegative("std", same_shape("std", tensors["std"], mean.shape))
    return TabulatedNumbers(mean.unsqueeze(0), std.unsqueeze(0), single)


def _names(tensors: Mapping[str, Tensor]) -> str:
    return ", ".join(tensors) or "none of them"
