"""Descent into functions of torch that hide their random calls behind an override guard.

`F.multi_head_attention_forward` asks `has_torch_function` first, so a mode sees one call and not the
dropout inside. A copy of the function whose guards never fire runs the same code with everything inside it
open to interception.
"""

from types import FunctionType
from typing import Any, Final

from mcdrop.engine.interception.mode import Handler, Interception

__all__ = ["descending"]

_GUARDS: Final = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")


def descending(function: Any) -> Handler:
    """A handler that runs the function's own code, which is Python's, under the mode."""
    unguarded = {**function.__globals__, **dict.fromkeys(_GUARDS, lambda *_: False)}
    opened = FunctionType(function.__code__, unguarded, function.__name__, function.__defaults__)

    def handle(mode: Interception, *args: Any, **kwargs: Any) -> Any:
        with mode:
            return opened(*args, **kwargs)

    return handle
