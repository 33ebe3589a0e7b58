"""The functions by which Python code calls torch's operators: they cost less than an operator's own object.

That of `aten::relu` is `torch.relu`. Which overload such a function takes follows from its arguments, so it
is tried out: what reaches the dispatcher must be the same call.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final

import torch
from torch import Tensor

from mcdrop.engine.operators import Watch

__all__ = ["binding"]

_PLACES: Final = (torch._C._VariableFunctions, torch._C._nn, torch._C.TensorBase)  # noqa: SLF001


def binding(operator: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Callable[..., Any]:
    """A function that makes the same call; the operator itself if none is known.

    Args:
        operator: An overload.
        args: Such as it is called with.
        kwargs: By name.
    """
    wanted = _heard(operator, args, kwargs)
    candidates = () if wanted is None else _candidates(operator)
    found = (each for each in candidates if _same(_heard(each, args, kwargs), wanted))
    function: Callable[..., Any] = next(found, operator)
    return function


def _candidates(operator: Any) -> Iterator[Callable[..., Any]]:
    if operator.namespace == "aten":
        name = operator.overloadpacket.__name__
        yield from (getattr(place, name) for place in _PLACES if hasattr(place, name))


def _heard(function: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """The first call that reaches the dispatcher, which is not made; None if the function refuses."""
    try:
        with _Ear():
            function(*args, **kwargs)
    except _CallError as call:
        return call.args
    except Exception:  # noqa: BLE001 - a function that takes other arguments
        return None
    return None


class _CallError(Exception):
    """Is raised in the place of a call."""


class _Ear(Watch):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise _CallError(func, args, sorted((kwargs or {}).items()))


def _same(one: Any, other: Any) -> bool:
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_same, one, other))
    if isinstance(one, Tensor) or isinstance(other, Tensor):
        return one is other
    return type(one) is type(other) and repr(one) == repr(other)
