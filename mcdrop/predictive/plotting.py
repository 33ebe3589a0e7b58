"""What a predictive looks like, by matplotlib.

Alphabet: N rows, ... further dimensions.
"""

from typing import TYPE_CHECKING, Final, Protocol

from torch import Tensor

from mcdrop.errors import OptionError
from mcdrop.figures import band_figure, interval_figure, uncertainty_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["plot_entropies", "plot_numbers"]

_LEVELS: Final = (0.9, 0.5)


class _Numbers(Protocol):
    @property
    def mean(self) -> Tensor: ...

    def interval(self, level: float, /) -> tuple[Tensor, Tensor]: ...


class _Entropies(Protocol):
    @property
    def expected_entropy(self) -> Tensor: ...

    @property
    def mutual_information(self) -> Tensor: ...


def plot_numbers(pred: _Numbers, x: Tensor | None, ax: "Axes | None") -> "Axes":
    """The band over `x`, or without `x` rows in the order of their mean.

    Args:
        pred: With one output.
        x: (N,) or (N, 1) inputs.
        ax: Where; new ones if not given.

    Raises:
        OptionError: If there are several outputs, or `x` does not fit.
        SamplesNotKeptError: If the samples were dropped, and these intervals were not named in the call.
    """
    rows, count = len(pred.mean), pred.mean.numel()
    if count != rows:
        raise OptionError(f"one output can be plotted, got {count // max(rows, 1)}: pick one of them first")
    intervals = [(level, *pred.interval(level)) for level in _LEVELS]
    if x is None:
        _, lower, upper = intervals[0]
        flat = (part.reshape(rows) for part in (pred.mean, lower, upper))
        return interval_figure(*flat, level=_LEVELS[0], ax=ax)
    if x.numel() != rows:
        raise OptionError(f"x must have {rows} numbers, one for each row, got shape {tuple(x.shape)}")
    bands = [(level, lower.reshape(rows), upper.reshape(rows)) for level, lower, upper in intervals]
    return band_figure(x.reshape(rows), pred.mean.reshape(rows), bands, ax)


def plot_entropies(pred: _Entropies, x: Tensor | None, ax: "Axes | None") -> "Axes":
    """Every row at its aleatoric and its epistemic uncertainty.

    Args:
        pred: Of a classification.
        x: None.
        ax: Where; new ones if not given.

    Raises:
        OptionError: If `x` is given.
    """
    if x is not None:
        raise OptionError("x belongs to a regression on one number; a classification is plotted without it")
    return uncertainty_figure(pred.expected_entropy.flatten(), pred.mutual_information.flatten(), ax)
