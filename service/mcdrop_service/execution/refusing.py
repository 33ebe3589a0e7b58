"""How jobs and calls that end without an answer are told to the client: each as a refusal with its status."""

import asyncio
import math
import time
from collections.abc import Coroutine, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar

from mcdrop_service.errors import DeadlineError, ModelFaultError, QueueFullError, ServiceError
from mcdrop_service.facts import ModelFacts
from mcdrop_service.scheduler import Outcome, Refusal, RefusedError

__all__ = ["before", "turned_away", "unanswered"]

T = TypeVar("T")

LATE: Final = "the answer was not ready before its deadline"

REFUSALS: Final[Mapping[Refusal, tuple[str, str]]] = MappingProxyType(
    {
        Refusal.QUEUE_FULL: ("too much is queued", ""),
        Refusal.MEMORY: ("what is queued takes too much memory", ""),
        Refusal.DEADLINE: ("it could not be done before its deadline", ", or allow more time"),
    }
)


async def before(deadline_s: float, work: Coroutine[Any, Any, T]) -> T:
    """What some work gives, if it does so in time: jobs have deadlines, calls to the worker have none.

    Raises:
        DeadlineError: If it does not.
    """
    try:
        async with asyncio.timeout(deadline_s - time.monotonic()):
            return await work
    except TimeoutError:
        raise DeadlineError(LATE) from None


def turned_away(error: RefusedError) -> QueueFullError:
    """What a client is told whose job the scheduler did not take."""
    wait_s = max(1, math.ceil(error.retry_after_s))
    why, beside = REFUSALS[error.refusal]
    return QueueFullError(f"{why}; ask again in {wait_s} s{beside}", retry_after_s=wait_s)


def unanswered(outcome: Outcome, facts: ModelFacts) -> ServiceError:
    """What a client is told whose job ended in another way than answered."""
    if outcome is Outcome.EXPIRED:
        return DeadlineError(LATE)
    return ModelFaultError(f"the model {facts.name} failed on this request")
