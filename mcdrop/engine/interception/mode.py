"""The mode under which a network runs: random calls go to their handlers, which ask a source for draws.

A `TorchFunctionMode` is thread-local, sees functional calls as well as modules, and its presence alone
keeps the fused fast path of `nn.TransformerEncoder` off, in which dropout would be hidden.
"""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from mcdrop.engine.sites import Law

__all__ = ["DrawSource", "Handler", "Interception"]


class DrawSource(Protocol):
    """Answers the random calls of one forward pass."""

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        """The draw of the site that is firing: of `shape`, or one that broadcasts to it."""


Handler = Callable[..., Any]
"""`handler(mode, *args, **kwargs)`: what the function would return, with its randomness drawn from `mode`."""


class Interception(TorchFunctionMode):
    """Sends every random call to its handler.

    Args:
        source: Where draws come from.
        handlers: By the function called.
        place: Says which module is running, for messages.
        row_order: Says which row of the batch stands where in the packed sequence that the running module was
            given; None for the order of the batch.
    """

    def __init__(
        self,
        source: DrawSource,
        handlers: dict[Callable[..., Any], Handler],
        place: Callable[[], str],
        row_order: Callable[[], Tensor | None] = lambda: None,
    ) -> None:
        super().__init__()
        self._source = source
        self._handlers = handlers
        self.place = place
        self.row_order = row_order

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, or the handler that stands for it."""
        handler = self._handlers.get(func)
        if handler is None:
            return func(*args, **(kwargs or {}))
        return handler(self, *args, **(kwargs or {}))

    def draw(
        self,
        kind: str,
        law: Law,
        shape: torch.Size | tuple[int, ...],
        like: Tensor | None = None,
        p: float | None = None,
    ) -> Tensor:
        """The draw for the site that is firing, on the device of `like`; it may broadcast to `shape`."""
        drawn = self._source.draw(kind, p, law, tuple(shape))
        return drawn if like is None else drawn.to(like.device)

    def fresh(
        self,
        kind: str,
        law: Law,
        shape: torch.Size | tuple[int, ...],
        like: Tensor | None = None,
        p: float | None = None,
    ) -> Tensor:
        """The same as a tensor of its own, of just that shape: the network may write to it."""
        return self.draw(kind, law, shape, like, p).expand(shape).clone()
