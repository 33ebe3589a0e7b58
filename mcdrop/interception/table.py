"""All calls that are intercepted, with their handlers."""

from typing import Any, Final

from mcdrop.interception import attention, draws, dropout, recurrent
from mcdrop.interception.mode import Handler

__all__ = ["HANDLERS"]

HANDLERS: Final[dict[Any, Handler]] = {
    **dropout.HANDLERS,
    **attention.HANDLERS,
    **recurrent.HANDLERS,
    **draws.HANDLERS,
}
"""Every random call of PyTorch that is known, by function."""
