"""All calls that are intercepted, with their handlers."""

from typing import Any, Final

from mcdrop.engine.interception import attention, draws, dropout, multihead, pooling, recurrent, whole
from mcdrop.engine.interception.mode import Handler
from mcdrop.engine.interception.operators import by_full_name

__all__ = ["HANDLERS"]

_FUNCTIONS: Final[dict[Any, Handler]] = {
    **dropout.HANDLERS,
    **attention.HANDLERS,
    **multihead.HANDLERS,
    **recurrent.HANDLERS,
    **draws.HANDLERS,
    **whole.HANDLERS,
    **pooling.HANDLERS,
}

HANDLERS: Final[dict[Any, Handler]] = {**_FUNCTIONS, **by_full_name(_FUNCTIONS)}
"""Every random call of PyTorch that is known, by function."""
