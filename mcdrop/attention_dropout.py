"""Dropout for modules that call `F.scaled_dot_product_attention` without any.

The module's class is replaced, in a view of the model, by one whose forward runs under a mode that gives
these calls a rate. Under sampling the mode of the engine lies around it and sees the calls with their rate.
"""

from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from mcdrop.errors import UnsupportedModelError

__all__ = ["add_attention_dropout"]


def add_attention_dropout(module: nn.Module, path: str, p: float) -> None:
    """Give every call of `F.scaled_dot_product_attention` in the forward of `module` the rate p."""
    kind: Any = type(module)
    module.__class__ = _with_dropout(kind)
    vars(module).update(injected_dropout=p, injected_path=path)


@cache
def _with_dropout(kind: Any) -> Any:
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

    return type(kind.__name__, (kind,), {"forward": forward, "__module__": kind.__module__})


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
