"""Shape and value checks: every error says what was wanted and what came.

Alphabet: S samples, N rows, C classes, L labels, D outputs, ... further dimensions (pixels, tokens).
Every check returns a float64 tensor (class labels: int64), so that a function can begin with
`probs = probabilities("probs", probs, "S, N, C")`.
"""

from collections.abc import Sequence
from math import prod
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mcdrop.errors import DomainError, InputError, ShapeError, TooFewRowsError

__all__ = [
    "SUM_TOLERANCE",
    "TensorLike",
    "as_column_or_not",
    "check_fraction",
    "check_interval",
    "check_rows",
    "class_labels",
    "classes_last",
    "event_labels",
    "finite",
    "float64",
    "nonnegative",
    "probabilities",
    "probability_laws",
    "same_shape",
    "shaped",
]


TensorLike = Tensor | NDArray[np.generic] | Sequence[float] | Sequence[Sequence[float]] | float
"""What the statistics take; everything is computed on float64 tensors."""

SUM_TOLERANCE: Final = 4e-3
"""How far class probabilities may sum from 1: rounded to bfloat16 they may by 2^-8, however many they are."""

_ROUNDING: Final = 1e-6  # a float32 softmax, or a mean of them, may end an ulp or two above 1


def float64(name: str, value: TensorLike) -> Tensor:
    """`value` as a float64 tensor, detached, on its device.

    Raises:
        InputError: If `value` is not a tensor, an array or numbers.
        DomainError: If it holds NaN.
    """
    tensor = _as_tensor(name, value).to(torch.float64)
    if bool(tensor.isnan().any()):
        raise DomainError(f"{name} must not hold NaN, got NaN at {_first(tensor.isnan())}")
    return tensor


def shaped(name: str, value: TensorLike, alphabet: str) -> Tensor:
    """`value` as a float64 tensor with the dimensions that `alphabet` names.

    Args:
        name: Of the argument, for the error text.
        value: To be checked.
        alphabet: Such as "S, N, C"; "..." stands for any number of further dimensions.

    Raises:
        ShapeError: If the number of dimensions differs.
        DomainError: If it holds NaN.
    """
    tensor = float64(name, value)
    letters = [letter.strip() for letter in alphabet.split(",") if letter.strip()]
    fixed = sum(letter != "..." for letter in letters)
    if tensor.ndim < fixed or (tensor.ndim > fixed and "..." not in letters):
        raise ShapeError(f"{name} must be ({alphabet}), got shape {tuple(tensor.shape)}")
    if tensor.numel() == 0:
        raise ShapeError(f"{name} must not be empty, got shape {tuple(tensor.shape)}")
    return tensor


def probabilities(name: str, value: TensorLike, alphabet: str) -> Tensor:
    """`value` as a float64 tensor of numbers between 0 and 1; what float32 rounds beyond them is cut.

    Raises:
        ShapeError: If the number of dimensions differs from `alphabet`.
        DomainError: If a value lies outside [0, 1].
    """
    tensor = shaped(name, value, alphabet)
    _refuse((tensor < -_ROUNDING) | (tensor > 1 + _ROUNDING), tensor, f"{name} must lie in [0, 1]")
    return tensor.clamp(0, 1)


def probability_laws(name: str, value: TensorLike, alphabet: str) -> Tensor:
    """`value` as float64 class probabilities whose last dimension sums to 1.

    Raises:
        ShapeError: If the number of dimensions differs from `alphabet`.
        DomainError: If a value lies outside [0, 1], or a row sums to another number than 1.
    """
    tensor = probabilities(name, value, alphabet)
    total = tensor.sum(-1)
    wrong = (total - 1).abs() > SUM_TOLERANCE
    if bool(wrong.any()):
        came = total[wrong][0].item()
        off = f"got {came:.6g} (off by {came - 1:+.3g}) at {_first(wrong)}"
        raise DomainError(f"{name} must sum to 1 over the classes, {off}")
    return tensor


def classes_last(value: TensorLike, class_axis: int) -> TensorLike:
    """`value` with its class axis moved to the end."""
    return value if class_axis == -1 else _as_tensor("probs", value).movedim(class_axis, -1)


def class_labels(y: TensorLike, *, like: Sequence[int], classes: int) -> Tensor:
    """`y` as int64 class indices.

    Args:
        y: Labels, integers (floats that are whole numbers are taken too); a further axis of 1 is dropped.
        like: The shape that they must have.
        classes: How many classes there are.

    Raises:
        ShapeError: If the shape differs; says what to do with one-hot rows.
        DomainError: If a label is not one of 0 .. classes - 1.
    """
    labels = as_column_or_not(float64("y", y), like)
    if labels.numel() == prod(like) * classes and classes in labels.shape[1:]:
        raise ShapeError(
            f"y must hold one class for each place, {tuple(like)}, got shape {tuple(labels.shape)}; of rows "
            f"with a 1 for the class take y.argmax({list(labels.shape).index(classes, 1)})"
        )
    labels = same_shape("y", labels, like)
    wrong = (labels < 0) | (labels >= classes) | (labels != labels.round())
    if bool(wrong.any()):
        came = labels[wrong][0].item()
        raise DomainError(
            f"y must be a class from 0 to {classes - 1}, got {came:g} at {_first(wrong)}"
            f"{_about_labels(labels, wrong, classes)}"
        )
    return labels.to(torch.int64)


def _about_labels(labels: Tensor, wrong: Tensor, classes: int) -> str:
    if labels.min() == 1 and labels.max() == classes:
        return "; classes are counted from 0"
    marks = labels[wrong].unique()
    if labels.dim() < 2 or len(marks) > 1:
        return ""
    return (
        "; to leave out places without a label, evaluate as_predictions(samples=pred.samples[:, keep]) "
        f"against y[keep], with keep = y != {marks.item():g} and the classes of the samples last"
    )


def event_labels(y: TensorLike, *, like: Sequence[int], name: str = "y") -> Tensor:
    """`y` as float64 zeros and ones.

    Raises:
        ShapeError: If the shape differs from `like`.
        DomainError: If a value is neither 0 nor 1.
    """
    labels = same_shape(name, float64(name, y), like)
    _refuse((labels != 0) & (labels != 1), labels, f"{name} must be 0 or 1")
    return labels


def as_column_or_not(y: Tensor, like: Sequence[int]) -> Tensor:
    """Outcomes in the shape `like` where they lack its last axis of 1 or have one too much; else as given."""
    if tuple(like) == (*y.shape, 1):
        return y.unsqueeze(-1)
    return y.squeeze(-1) if tuple(y.shape) == (*like, 1) else y


def same_shape(name: str, tensor: Tensor, like: Sequence[int]) -> Tensor:
    """`tensor` itself, if it has the shape `like`.

    Raises:
        ShapeError: If it has another.
    """
    if tuple(tensor.shape) != tuple(like):
        raise ShapeError(f"{name} must have shape {tuple(like)}, got shape {tuple(tensor.shape)}")
    return tensor


def finite(name: str, tensor: Tensor) -> Tensor:
    """`tensor` itself, if every value is finite.

    Raises:
        DomainError: If a value is infinite.
    """
    _refuse(~tensor.isfinite(), tensor, f"{name} must be finite")
    return tensor


def nonnegative(name: str, tensor: Tensor) -> Tensor:
    """`tensor` itself, if no value is negative.

    Raises:
        DomainError: If a value is negative.
    """
    _refuse(tensor < 0, tensor, f"{name} must not be negative")
    return tensor


def check_fraction(name: str, value: float) -> None:
    """Refuse a number that is not strictly between 0 and 1.

    Raises:
        DomainError: If it is not.
    """
    if not 0 < value < 1:
        raise DomainError(f"{name} must be between 0 and 1, got {value}")


def check_interval(lower: Tensor, upper: Tensor) -> None:
    """Refuse intervals that end before they begin.

    Raises:
        ShapeError: If the two shapes differ.
        DomainError: If an upper end is below its lower end.
    """
    same_shape("upper", upper, lower.shape)
    wrong = upper < lower
    if bool(wrong.any()):
        raise DomainError(f"upper must not be below lower, got it so at {_first(wrong)}")


def check_rows(rows: int, *, needed: int, what: str) -> None:
    """Refuse too few rows.

    Raises:
        TooFewRowsError: If there are fewer than `needed`; says how many are needed.
    """
    if rows < needed:
        raise TooFewRowsError(f"{what} needs at least {needed} rows, got {rows}")


def _as_tensor(name: str, value: TensorLike) -> Tensor:
    if isinstance(value, Tensor):
        return value.detach()
    try:
        return torch.from_numpy(np.array(value))  # a copy: the caller's array may be read-only
    except (TypeError, ValueError) as error:
        kind = getattr(value, "dtype", None)  # of arrays, and of pandas' series
        came = type(value).__name__ if kind is None else f"{type(value).__name__} of {kind}"
        raise InputError(f"{name} must be a tensor, an array or a list of numbers, got {came}") from error


def _refuse(wrong: Tensor, tensor: Tensor, wanted: str) -> None:
    if bool(wrong.any()):
        raise DomainError(f"{wanted}, got {tensor[wrong][0].item():g} at {_first(wrong)}")


def _first(wrong: Tensor) -> str:
    """Where the first True lies: `row 3`, `index (0, 3)`."""
    index = tuple(int(i) for i in wrong.nonzero()[0])
    return f"row {index[0]}" if len(index) == 1 else f"index {index}"
