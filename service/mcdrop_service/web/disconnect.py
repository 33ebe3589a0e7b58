"""Waiting for an answer only as long as someone is there to read it."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, TypeVar, cast

from starlette.requests import ClientDisconnect
from starlette.types import Scope

__all__ = ["WHEN_GONE", "while_connected"]

T = TypeVar("T")

WHEN_GONE: Final = "mcdrop.when_gone"
"""An ASGI extension of our own protocol: a set of functions that are called when the client goes away.

ASGI's way, a task that waits for `http.disconnect`, costs as much as parsing a request.
"""


async def while_connected(scope: Scope, work: Coroutine[Any, Any, T]) -> T:
    """The result of some work, which is cancelled when the client goes away.

    Args:
        scope: Of the request, its body already read.
        work: What makes the answer.

    Returns:
        What the work returns.

    Raises:
        ClientDisconnect: If the client went away first.
    """
    task = cast("asyncio.Task[T]", asyncio.current_task())
    when_gone: set[Callable[[], object]] = scope["extensions"][WHEN_GONE]
    gone = False

    def stop() -> None:
        nonlocal gone
        gone = True
        task.cancel()

    when_gone.add(stop)
    try:
        return await work
    except asyncio.CancelledError:
        if gone and task.uncancel() == 0:
            raise ClientDisconnect from None
        raise
    finally:
        when_gone.discard(stop)
