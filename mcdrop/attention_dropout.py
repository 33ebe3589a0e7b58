"""Dropout for attention that has none: `nn.MultiheadAttention`, and `F.scaled_dot_product_attention`.

The module's class is replaced, in a view of the model, by one that keeps its rate as `injected_dropout`, so
that it can be told from a rate that the network was trained with. An `nn.MultiheadAttention` reads it as its
`dropout`. The forward of any other module runs under a mode that gives its calls of the fused kernel a rate.
Under sampling the mode of the engine lies around it and sees the calls with their rate.
"""

from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from mcdrop.errors import UnsupportedModelError

__all__ = ["add_attention_dropout"]


def add_attention_dropout(module: nn.Module, path: str, p: float) -> None:
    """Give the attention of a module a rate.

    Args:
        module: An `nn.MultiheadAttention`, or one that calls `F.scaled_dot_product_attention` in its forward.
        path: Of the module, for messages.
        p: The rate.
    """
    if isinstance(module, nn.MultiheadAttention):
        vars(module).pop("dropout")  # in its place the class has a property
    kind: Any = type(module)
    module.__class__ = _with_dropout(kind)
    vars(module).update(injected_dropout=p, injected_path=path)


@cache
def _with_dropout(kind: Any) -> Any:
    own = _OF_MODULE if issubclass(kind, nn.MultiheadAttention) else {"forward": _forward_of(kind)}
    pickled = {"__reduce_ex__": lambda self, _protocol: (_unpickled, (kind,), vars(self))}
    return type(kind.__name__, (kind,), {**own, **pickled, "__module__": kind.__module__})


def _unpickled(kind: Any) -> nn.Module:
    made: nn.Module = object.__new__(_with_dropout(kind))
    return made


def _set_rate(module: Any, p: float) -> None:
    module.injected_dropout = p


_OF_MODULE = {"dropout": property(lambda module: module.injected_dropout, _set_rate)}


def _forward_of(kind: Any) -> Any:
    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if not self.training or self.injected_dropout == 0:
            return kind.forward(self, *args, **kwargs)
        with _Rate(self.injected_dropout) as rate:
            output = kind.forward(self, *args, **kwargs)
        if not rate.seen:
            raise UnsupportedModelError(
                f"{self.injected_path} ({kind.__name__}) makes no call of F.scaled_dot_product_attention "
                "that could be given dropout; if it computes a softmax of its own, put dropout After that"
            )
        return output

    return forward


class _Rate(TorchFunctionMode):
    """Gives calls of `F.scaled_dot_product_attention` a rate."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self._p = p
        self.seen = 0

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        """Call `func`, with a rate if it is attention without one."""
        options = dict(kwargs or {})
        if func is F.scaled_dot_product_attention:
            options |= zip(_OPTIONAL, args[3:], strict=False)
            args = args[:3]
            self.seen += 1
            options["dropout_p"] = options.get("dropout_p") or self._p
        return func(*args, **options)


_OPTIONAL = ("attn_mask", "dropout_p", "is_causal")
