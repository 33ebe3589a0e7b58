"""The dropout family: `F.dropout` and its relatives, with their modules.

Each multiplies in the order of operations of torch's own implementation, so that equal draws give equal bits.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

import torch
import torch.nn.functional as F
from torch import Tensor

from mcdrop.engine.interception.mode import Handler, Interception
from mcdrop.engine.sites import Law
from mcdrop.errors import DomainError

__all__ = ["HANDLERS"]

_ALPHA: Final = 1.7580993408473766
"""Negative saturation of SELU, sign turned: lambda * alpha (Klambauer et al. 2017, arXiv:1706.02515)."""

_Shape = tuple[int, ...]


class _Noise(Protocol):
    """How a mask enters: multiplied, or as alpha dropout mixes it."""

    def __call__(
        self, mode: Interception, kind: str, x: Tensor, p: float, shape: _Shape, *, inplace: bool
    ) -> Tensor: ...


def _scaled(mode: Interception, kind: str, x: Tensor, p: float, shape: _Shape, *, inplace: bool) -> Tensor:
    noise = mode.draw(kind, Law("noise", p, x.dtype), shape, like=x, p=p)
    return x.mul_(noise) if inplace else x * noise


def _alpha_scaled(
    mode: Interception, kind: str, x: Tensor, p: float, shape: _Shape, *, inplace: bool
) -> Tensor:
    keep = mode.draw(kind, Law("keep", p, x.dtype), shape, like=x, p=p)
    if p == 1:
        return x.zero_() if inplace else torch.zeros_like(x)
    a = ((_ALPHA * _ALPHA * p + 1) * (1 - p)) ** -0.5
    shift = (keep - 1).mul_(_ALPHA * a).add_(_ALPHA * a * p)
    noise = keep * a
    return x.mul_(noise).add_(shift) if inplace else x * noise + shift


def _elements(input: Tensor) -> _Shape:
    return tuple(input.shape)


def _channels(input: Tensor) -> _Shape:
    """Axes 0 and 1 are rows and channels; all further ones share a draw."""
    return (*input.shape[:2], *[1] * (input.dim() - 2))


def _channels_without_rows(input: Tensor) -> _Shape:
    return (input.shape[0], *[1] * (input.dim() - 1))


def _functional(
    native: Callable[..., Any],
    kind: str,
    shape: Callable[[Tensor], _Shape],
    noise: _Noise = _scaled,
    *,
    training_by_default: bool = True,
) -> Handler:
    """Handler of a function of torch.nn.functional."""

    def handle(
        mode: Interception,
        input: Tensor,
        p: float = 0.5,
        training: bool = training_by_default,
        inplace: bool = False,
    ) -> Tensor:
        if not training or _checked_rate(p) == 0:
            return native(input, p, training, inplace)  # type: ignore[no-any-return]
        return noise(mode, kind, input, float(p), shape(input), inplace=inplace)

    return handle


def _unbatched(native: Callable[..., Any], kind: str, rank: int) -> Handler:
    """Handler of `F.dropout1d` or `F.dropout3d`, whose inputs of `rank` have no batch axis."""
    alone = _functional(native, kind, _channels_without_rows)
    batched = _functional(native, kind, _channels)

    def handle(mode: Interception, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if input.dim() not in (rank, rank + 1):
            return native(input, *args, **kwargs)  # which says what is wrong
        return (alone if input.dim() == rank else batched)(mode, input, *args, **kwargs)

    return handle


def _native(
    native: Callable[..., Any],
    kind: str,
    shape: Callable[[Tensor], _Shape],
    noise: _Noise = _scaled,
    *,
    inplace: bool = False,
) -> Handler:
    """Handler of a function of the `torch` namespace, which needs all its arguments."""

    def handle(mode: Interception, input: Tensor, p: float, train: bool) -> Tensor:
        if not train or _checked_rate(p) == 0:
            return native(input, p, train)  # type: ignore[no-any-return]
        return noise(mode, kind, input, float(p), shape(input), inplace=inplace)

    return handle


def _native_with_mask(
    mode: Interception, input: Tensor, p: float, train: bool | None
) -> tuple[Tensor, Tensor]:
    """Handler of `torch.native_dropout`, which returns its mask too; None means to train."""
    if train is False or _checked_rate(p) == 0:
        return torch.native_dropout(input, p, train)
    noise = mode.draw("dropout", Law("noise", p, input.dtype), input.shape, like=input, p=p)
    return input * noise, (noise != 0).expand(input.shape)


def _checked_rate(p: float) -> float:
    if not 0 <= p <= 1:
        raise DomainError(f"dropout rate must be between 0 and 1, got {p}")
    return float(p)


HANDLERS: Final[dict[Any, Handler]] = {
    F.dropout: _functional(F.dropout, "dropout", _elements),
    F.dropout1d: _unbatched(F.dropout1d, "dropout1d", 2),
    F.dropout2d: _functional(F.dropout2d, "dropout2d", _channels),
    F.dropout3d: _unbatched(F.dropout3d, "dropout3d", 4),
    F.alpha_dropout: _functional(
        F.alpha_dropout, "alpha_dropout", _elements, _alpha_scaled, training_by_default=False
    ),
    F.feature_alpha_dropout: _functional(
        F.feature_alpha_dropout, "feature_alpha_dropout", _channels, _alpha_scaled, training_by_default=False
    ),
    torch.dropout: _native(torch.dropout, "dropout", _elements),
    torch.dropout_: _native(torch.dropout_, "dropout", _elements, inplace=True),
    torch.native_dropout: _native_with_mask,
    torch.feature_dropout: _native(torch.feature_dropout, "dropout2d", _channels),
    torch.feature_dropout_: _native(torch.feature_dropout_, "dropout2d", _channels, inplace=True),
    torch.alpha_dropout: _native(torch.alpha_dropout, "alpha_dropout", _elements, _alpha_scaled),
    torch.alpha_dropout_: _native(
        torch.alpha_dropout_, "alpha_dropout", _elements, _alpha_scaled, inplace=True
    ),
    torch.feature_alpha_dropout: _native(
        torch.feature_alpha_dropout, "feature_alpha_dropout", _channels, _alpha_scaled
    ),
    torch.feature_alpha_dropout_: _native(
        torch.feature_alpha_dropout_, "feature_alpha_dropout", _channels, _alpha_scaled, inplace=True
    ),
}
