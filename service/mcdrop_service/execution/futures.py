"""Telling those who wait in the event loop; they may have been cancelled meanwhile."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

__all__ = ["plain", "set_exception", "set_result", "set_results"]

T = TypeVar("T")


def set_results(replies: Sequence[tuple[asyncio.Future[T], T]]) -> None:
    """Give each its result."""
    for future, reply in replies:
        set_result(future, reply)


def set_result(future: asyncio.Future[T], result: T) -> None:
    """Give one its result, if it still waits."""
    if not future.done():
        future.set_result(result)


def set_exception(future: asyncio.Future[T], error: Exception) -> None:
    """Let one raise, if it still waits."""
    if not future.done():
        future.set_exception(error)


def plain(error: BaseException) -> Exception:
    """What a future can hold: `SystemExit` would end the event loop."""
    return error if isinstance(error, Exception) else RuntimeError(f"{type(error).__name__} was raised")
