"""Descent into functions of torch that hide their random calls behind an override guard.

`F.multi_head_attention_forward` asks `has_torch_function` first, so a mode sees one call and not the
dropout inside. A copy of the function whose guards never fire runs the same code with everything inside it
open to interception.
"""

from collections.abc import Callable
from types import FunctionType
from typing import Any, Final

from mcdrop.engine.interception.mode import Handler, Interception

__all__ = ["descending", "without_guards"]

_GUARDS: Final = ("has_torch_function", "has_torch_function_unary", "has_torch_function_variadic")


def without_guards(function: Callable[..., Any]) -> FunctionType:
    """A copy of a function in which no override guard fires.

    Args:
        function: Of torch.nn.functional, written in Python.

    Raises:
        TypeError: If the function is not written in Python.
    """
    if not isinstance(function, FunctionType):
        raise TypeError(f"function must be written in Python, got {type(function).__name__}")
    unguarded = {**function.__globals__, **dict.fromkeys(_GUARDS, lambda *_: False)}
    copy = FunctionType(
        function.__code__, unguarded, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    return copy


def descending(function: Callable[..., Any]) -> Handler:
    """A handler that runs the function's own code under the mode."""
    opened = without_guards(function)

    def handle(mode: Interception, *args: Any, **kwargs: Any) -> Any:
        with mode:
            return opened(*args, **kwargs)

    return handle
