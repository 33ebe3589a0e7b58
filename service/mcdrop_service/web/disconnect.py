"""Waiting for an answer only as long as someone is there to read it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect
from starlette.types import Scope

from mcdrop_service.web.exchange import exchange_of

__all__ = ["while_connected"]

T = TypeVar("T")


async def while_connected(scope: Scope, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client goes away.

    ASGI's way, a task that waits for `http.disconnect`, costs as much as parsing a request.

    Args:
        scope: Of the request, its body already read.
        work: What makes the answer.

    Returns:
        What the work returns.

    Raises:
        ClientDisconnect: If the client went away first.
    """
    exchange = exchange_of(scope)
    exchange.ends_when_gone = True
    try:
        return await work
    except asyncio.CancelledError:
        if exchange.gone and exchange.task is not None and exchange.task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        exchange.ends_when_gone = False
