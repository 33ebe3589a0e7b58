"""Tasks: what the outputs of a network mean, and how the moments of their samples become a predictive.

A task is small: `pick` says which of the outputs count, `law` turns them into what is averaged, `entropies`
gives what else is averaged, `predictive` puts the result together. Where a server wants no more than a few
arrays, `outputs` tells them with a third of the calls.

Alphabet: s samples of some blocks, N rows, C classes, L labels, ... further dimensions.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, Final, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from mcdrop.errors import DomainError, OptionError, ShapeError
from mcdrop.predictive.binary import BinaryPredictive, MultilabelPredictive
from mcdrop.predictive.classification import ClassificationPredictive
from mcdrop.predictive.heteroscedastic import HeteroscedasticPredictive
from mcdrop.predictive.predictive import Predictive, is_number
from mcdrop.predictive.raw import RawPredictive
from mcdrop.predictive.regression import RegressionPredictive
from mcdrop.shapes import SUM_TOLERANCE
from mcdrop.uncertainty import binary_entropy, entropy, epistemic_entropy

__all__ = ["TASKS", "Task", "mean_and_log_variance", "only_output", "task_named"]

_OUTPUTS: Final = ("logits", "probabilities", "log_probabilities")
_SOFTMAX: Final = 1e-5
"""How far probabilities in float32 may sum from 1; logits seldom come so near by chance."""
_ROUNDED: Final[Mapping[torch.dtype, type[np.floating[Any]]]] = {
    torch.float32: np.float32,
    torch.float64: np.float64,
}
"""Dtypes to which NumPy rounds as torch does."""

_Array = NDArray[Any]


class Task(Protocol):
    """What the outputs of a network mean."""

    def pick(self, outputs: Any, /) -> Tensor:
        """(s, N, ...) the raw outputs that count, from a structure of tensors (s, N, ...)."""

    def of_mean(self, values: Tensor, /) -> Tensor:
        """(N, ...) the part of the law's moments (N, ...) that is about the mean of the prediction."""

    def law(self, raw: Tensor, /) -> Tensor:
        """(s, N, ...) float64: what is averaged, from raw outputs (s, N, ...)."""

    def entropies(self, law: Tensor, /) -> Tensor | None:
        """(s, N, ...) what else is averaged, or None."""

    def predictive(self, common: dict[str, Any], mean: Tensor, mean_entropy: Tensor | None, /) -> Predictive:
        """The result, from the fields that all have, the unrounded mean, and the mean of the entropies."""

    def outputs(self, figures: _Array, mean_entropy: _Array, dtype: torch.dtype, /) -> Mapping[str, _Array]:
        """Outputs of the result, and its `sample_std`, by name, without making it; none if it takes more.

        From (3, N, k) float64 mean, standard deviation and error, and the mean of the entropies (N,).
        """


class _Whole:
    """What tasks have in common whose outputs only the result can tell."""

    def outputs(self, _figures: _Array, _mean_entropy: _Array, _dtype: torch.dtype) -> Mapping[str, _Array]:
        return {}


class _OneOutput(_Whole):
    """What tasks have in common that predict from a single tensor, all of which is averaged."""

    def pick(self, outputs: Any) -> Tensor:
        return only_output(outputs)

    def of_mean(self, values: Tensor) -> Tensor:
        return values


@dataclass(frozen=True)
class _Classification(_OneOutput):
    output: str
    class_axis: int

    def law(self, raw: Tensor) -> Tensor:
        if raw.dim() < 3:
            raise ShapeError(
                f"outputs must be (N, C, ...) for classification, got shape {tuple(raw.shape[1:])}"
            )
        axis = self._axis(raw)
        if raw.shape[axis] < 2:
            raise ShapeError(
                f"outputs must have two classes or more, got shape {tuple(raw.shape[1:])}; "
                "a model with one logit wants task='binary'"
            )
        values = raw.double()
        if self.output == "probabilities":
            return _checked_laws(values, axis)
        if self.output == "log_probabilities":
            _refuse_unnormalised(values, axis)
        else:
            _refuse_probabilities(values, axis, raw.dtype)
        return _softmax(values, axis)

    def entropies(self, law: Tensor) -> Tensor:
        return _class_entropy(law, self._axis(law))

    def predictive(self, common: dict[str, Any], mean: Tensor, mean_entropy: Tensor | None) -> Predictive:
        entropies: dict[str, Any] = {
            "total_entropy": _class_entropy(mean, self.class_axis),
            "mean_entropy": mean_entropy,
        }
        return ClassificationPredictive(**common, **entropies, class_axis=self.class_axis)

    def outputs(self, figures: _Array, mean_entropy: _Array, dtype: torch.dtype) -> Mapping[str, _Array]:
        own = _ROUNDED.get(dtype)
        if own is None:
            return {}
        mean, std, error = figures.astype(own)
        total = entropy(torch.from_numpy(figures[0])).numpy()
        return {
            "label": mean.argmax(-1),
            "mean": mean,
            "std": std,
            "sample_std": std,
            "standard_error": error,
            "predictive_entropy": total.astype(own),
            "expected_entropy": mean_entropy.astype(own),
            "mutual_information": epistemic_entropy(total, mean_entropy).astype(own),
        }

    def _axis(self, samples: Tensor) -> int:
        axis = self.class_axis if self.class_axis < 0 else self.class_axis + 1
        if axis % samples.dim() < 2 or not -samples.dim() <= axis < samples.dim():
            shape = tuple(samples.shape[1:])
            raise ShapeError(
                f"class_axis={self.class_axis} must be an axis behind the rows, got shape {shape}"
            )
        return axis


@dataclass(frozen=True)
class _Events(_OneOutput):
    """What tasks have in common whose outputs are events, each of which comes or not."""

    output: str

    def entropies(self, law: Tensor) -> Tensor:
        return binary_entropy(law)


@dataclass(frozen=True)
class _Binary(_Events):
    def law(self, raw: Tensor) -> Tensor:
        values = raw.double()
        if values.dim() > 2 and values.shape[2] == 1:
            values = values.squeeze(2)
        elif values.dim() > 2:
            raise ShapeError(
                f"outputs must be (N,) or (N, 1, ...) for binary, got shape {tuple(raw.shape[1:])}; "
                "a model with one logit for each class wants task='classification'"
            )
        return _event_probabilities(values, self.output)

    def predictive(self, common: dict[str, Any], mean: Tensor, mean_entropy: Tensor | None) -> Predictive:
        return BinaryPredictive(**common, **_binary_entropies(mean, mean_entropy))


@dataclass(frozen=True)
class _Multilabel(_Events):
    def law(self, raw: Tensor) -> Tensor:
        if raw.dim() < 3:
            raise ShapeError(f"outputs must be (N, L) for multilabel, got shape {tuple(raw.shape[1:])}")
        return _event_probabilities(raw.double(), self.output)

    def predictive(self, common: dict[str, Any], mean: Tensor, mean_entropy: Tensor | None) -> Predictive:
        return MultilabelPredictive(**common, **_binary_entropies(mean, mean_entropy))


class _Numbers(_OneOutput):
    """What tasks have in common that average the outputs as they are."""

    def law(self, raw: Tensor) -> Tensor:
        return raw.double()

    def entropies(self, law: Tensor) -> None:
        """None: real numbers have no entropy."""


@dataclass(frozen=True)
class _Regression(_Numbers):
    tau: float | None

    def predictive(self, common: dict[str, Any], _mean: Tensor, _mean_entropy: Tensor | None) -> Predictive:
        return RegressionPredictive(**common, tau=self.tau)


@dataclass(frozen=True)
class _Raw(_Numbers):
    def predictive(self, common: dict[str, Any], _mean: Tensor, _mean_entropy: Tensor | None) -> Predictive:
        return RawPredictive(**common)


@dataclass(frozen=True)
class _Heteroscedastic(_Whole):
    def pick(self, outputs: Any) -> Tensor:
        """(s, N, ..., 2): mean and log variance, side by side behind all other axes."""
        mean, log_variance = mean_and_log_variance(outputs)
        if mean.shape != log_variance.shape:
            raise ShapeError(
                "mean and log_variance must have the same shape, got "
                f"{tuple(mean.shape[1:])} and {tuple(log_variance.shape[1:])}"
            )
        return torch.stack([mean, log_variance], -1)

    def of_mean(self, values: Tensor) -> Tensor:
        return values[..., 0]

    def law(self, raw: Tensor) -> Tensor:
        """(s, N, ..., 2): mean and variance."""
        mean, log_variance = raw.double().unbind(-1)
        variance = log_variance.exp()
        _check_variances(mean, log_variance, variance)
        return torch.stack([mean, variance], -1)

    def entropies(self, law: Tensor) -> None:
        """None: real numbers have no entropy."""

    def predictive(self, common: dict[str, Any], mean: Tensor, _mean_entropy: Tensor | None) -> Predictive:
        of_mean = ("mean", "sample_std", "standard_error", "deterministic")
        parts: dict[str, Any] = {name: common[name][..., 0] for name in of_mean}
        return HeteroscedasticPredictive(
            **{**common, **parts},
            mean_variance=mean[..., 1],
            deterministic_std=common["deterministic"][..., 1].sqrt(),
        )


TASKS: Final[dict[str, Callable[[str, int, float | None], Task]]] = {
    "classification": lambda output, class_axis, _tau: _Classification(output, class_axis),
    "binary": lambda output, _class_axis, _tau: _Binary(output),
    "multilabel": lambda output, _class_axis, _tau: _Multilabel(output),
    "regression": lambda _output, _class_axis, tau: _Regression(tau),
    "heteroscedastic": lambda _output, _class_axis, _tau: _Heteroscedastic(),
    "raw": lambda _output, _class_axis, _tau: _Raw(),
}
"""By name, made from (output, class_axis, tau)."""


def task_named(name: str, *, output: str = "logits", class_axis: int = 1, tau: float | None = None) -> Task:
    """The task of that name.

    Args:
        name: One of `TASKS`.
        output: What a classifier returns: `logits`, `probabilities` or `log_probabilities`.
        class_axis: The axis of the classes in (N, C, ...).
        tau: Noise precision of a regression, in 1 / squared units of y; None if it was not fitted.

    Raises:
        OptionError: If there is no such task or output, or tau is given for another task than regression.
        DomainError: If tau is not positive.
    """
    if name not in TASKS:
        raise OptionError(f"task must be one of {', '.join(TASKS)}, got {name!r}")
    if output not in _OUTPUTS:
        raise OptionError(f"output must be one of {', '.join(_OUTPUTS)}, got {output!r}")
    if class_axis == 0:
        raise OptionError("class_axis must not be 0, the axis of the rows")
    if tau is not None and name != "regression":
        raise OptionError(f"tau is the noise precision of a regression, got it with task={name!r}")
    if tau is not None and (not is_number(tau) or not tau > 0):
        raise DomainError(f"tau must be positive, got {tau!r}")
    return TASKS[name](output, class_axis, tau)


def only_output(outputs: Any) -> Tensor:
    """The tensor that a prediction is about: the only one, or the one that is named `logits`.

    Args:
        outputs: What the network returns.

    Raises:
        OptionError: If there are several and none is named so.
    """
    if isinstance(outputs, Tensor):
        return outputs
    tensors = [leaf for leaf in pytree.tree_leaves(outputs) if isinstance(leaf, Tensor)]
    if len(tensors) == 1:
        return tensors[0]
    named = outputs.get("logits") if isinstance(outputs, Mapping) else getattr(outputs, "logits", None)
    if isinstance(named, Tensor):
        return named
    raise OptionError(
        f"the model returns {len(tensors)} tensors{_names(outputs)} and none of them is named 'logits'; wrap "
        "it in a module that returns the one to predict from (mc.sample returns them all)"
        + ("; a mean with its log variance is task='heteroscedastic'" if _are_a_pair(tensors) else "")
    )


def _are_a_pair(tensors: Sequence[Tensor]) -> bool:
    return len(tensors) == 2 and tensors[0].shape == tensors[1].shape


def mean_and_log_variance(outputs: Any) -> tuple[Tensor, Tensor]:
    """The two parts of what a heteroscedastic network returns.

    Args:
        outputs: A pair, a mapping with the names `mean` and `log_variance`, or one tensor (s, N, 2 D).

    Raises:
        OptionError: If it is none of these.
        ShapeError: If it is one tensor that is not made of two halves.
    """
    if isinstance(outputs, Mapping) and {"mean", "log_variance"} <= set(outputs):
        return outputs["mean"], outputs["log_variance"]
    if isinstance(outputs, tuple | list) and len(outputs) == 2:
        return outputs[0], outputs[1]
    if not isinstance(outputs, Tensor):
        raise OptionError(
            "a heteroscedastic model returns (mean, log_variance), a mapping with these names, or one tensor "
            f"(N, 2 D) with the means first; got a {type(outputs).__name__}{_names(outputs)}"
        )
    if outputs.dim() < 3 or outputs.shape[2] % 2:
        raise ShapeError(
            "outputs must be (N, 2 D), D means and then D log variances, for heteroscedastic, got shape "
            f"{tuple(outputs.shape[1:])}"
        )
    mean, log_variance = outputs.chunk(2, 2)
    return mean, log_variance


def _names(structure: Any) -> str:
    if isinstance(structure, Mapping):
        return " (" + ", ".join(map(str, structure)) + ")"
    return f" in a {type(structure).__name__}" if isinstance(structure, Sequence) else ""


def _check_variances(mean: Tensor, log_variance: Tensor, variance: Tensor) -> None:
    if variance.isinf().any():
        raise DomainError(
            f"the variance overflows: log_variance must be a logarithm, got {log_variance.max():.3g}; a "
            "model that returns a variance or a standard deviation must return the log of the variance"
        )
    if (log_variance.isnan() & ~mean.isnan()).any():
        raise DomainError(
            "log_variance is NaN where the mean is a number, as the log of a negative number is"
        )


def _softmax(values: Tensor, axis: int) -> Tensor:
    if axis in (-1, values.dim() - 1):
        return values.softmax(axis)
    # over another axis torch's rounds some numbers otherwise, by their place and by the number of threads
    odds = (values - values.amax(axis, keepdim=True)).exp_()
    return odds / reduce(torch.add, odds.unbind(axis)).unsqueeze(axis)


def _class_entropy(probs: Tensor, axis: int) -> Tensor:
    # a sum over another axis than the last has other bits in other places of a tensor
    last = axis in (-1, probs.dim() - 1)
    return entropy((probs if last else probs.movedim(axis, -1)).contiguous())


def _binary_entropies(mean: Tensor, mean_entropy: Tensor | None) -> dict[str, Any]:
    return {"total_entropy": binary_entropy(mean), "mean_entropy": mean_entropy}


def _event_probabilities(values: Tensor, output: str) -> Tensor:
    if output == "logits":
        return _logistic(values)
    return _checked_range(values.exp() if output == "log_probabilities" else values, output)


def _logistic(values: Tensor) -> Tensor:
    # torch's sigmoid rounds the last numbers of a tensor otherwise than the rest; these steps do not
    return 1 / (1 + (-values).exp())


def _refuse_probabilities(values: Tensor, axis: int, dtype: torch.dtype) -> None:
    if values.numel() == values.shape[axis]:
        return  # the logits of a single row may lie so by chance; its samples are looked at too
    least, most = values.aminmax()
    tolerance = SUM_TOLERANCE if dtype in (torch.bfloat16, torch.float16) else _SOFTMAX
    if least.item() >= 0 and most.item() <= 1 and ((values.sum(axis) - 1).abs() < tolerance).all():
        raise DomainError(
            "the outputs lie in [0, 1] and sum to 1, so the model ends in a softmax; "
            "say output='probabilities', since a softmax of probabilities would hide its certainty"
        )


def _refuse_unnormalised(logs: Tensor, axis: int) -> None:
    # rounded to bfloat16 the log of p is off by 2^-8 of itself, at times twice over, and the sum by as much
    # of the entropy; their softmax is a law
    tolerance = SUM_TOLERANCE * (1 + 2 * math.log(logs.shape[axis]))
    _check_sums(logs.logsumexp(axis).expm1(), tolerance, "log_probabilities")


def _checked_laws(probs: Tensor, axis: int) -> Tensor:
    _check_sums(probs.sum(axis) - 1, SUM_TOLERANCE, "probabilities")
    return _checked_range(probs, "probabilities")


def _check_sums(off: Tensor, tolerance: float, output: str) -> None:
    most = off.abs().max()
    if most > tolerance:
        raise DomainError(
            f"output={output!r} must sum to 1 over the classes, got a row that is off by {most:.3g}"
        )


def _checked_range(probs: Tensor, output: str) -> Tensor:
    if (probs < 0).any() or (probs > 1 + SUM_TOLERANCE).any():
        raise DomainError(
            f"output={output!r} must lie in [0, 1], got values from {probs.min():.3g} to {probs.max():.3g}; "
            "a model that returns logits wants output='logits'"
        )
    return probs.clamp(0, 1)  # what rounding leaves above 1 has no entropy
