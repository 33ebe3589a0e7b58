"""What goes over the network, as plain data, and the steps of a conversation.

A conversation is a generator: it yields what is to be done (`Send`, `Wait`) and is sent what came of it. Who
drives it, with which network and which clock, is no concern of it.
"""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeAlias, TypeVar

__all__ = [
    "Conversation",
    "Ended",
    "Failure",
    "HttpAnswer",
    "HttpRequest",
    "Reply",
    "Send",
    "Wait",
    "next_step",
]

T = TypeVar("T")


@dataclass(frozen=True)
class HttpRequest:
    """A request.

    Attributes:
        method: `GET` or `POST`.
        path: Below the service's address, quoted.
        headers: By name.
        content: The body.
    """

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    content: bytes = b""


@dataclass(frozen=True)
class HttpAnswer:
    """An answer, all of it.

    Attributes:
        status: HTTP status.
        headers: By name in small letters.
        content: The body.
    """

    status: int
    headers: Mapping[str, str]
    content: bytes


@dataclass(frozen=True)
class Failure:
    """No answer, or not all of one.

    Attributes:
        reason: In words.
        timed_out: Whether the time was up after the connection stood.
    """

    reason: str
    timed_out: bool


Reply: TypeAlias = HttpAnswer | Failure


@dataclass(frozen=True)
class Send:
    """Send a request, and give its reply.

    Attributes:
        request: The request.
        timeout_s: How long the reply may take.
    """

    request: HttpRequest
    timeout_s: float


@dataclass(frozen=True)
class Wait:
    """Let some time pass.

    Attributes:
        seconds: How much.
    """

    seconds: float


Conversation: TypeAlias = Generator[Send | Wait, Reply | None, T]


@dataclass(frozen=True)
class Ended(Generic[T]):
    """A conversation is over.

    Attributes:
        value: What came of it.
    """

    value: T


def next_step(conversation: Conversation[T], reply: Reply | None) -> Send | Wait | Ended[T]:
    """What is to be done now.

    Args:
        conversation: That goes on.
        reply: To the step before; None after a wait, and at first.
    """
    try:
        return conversation.send(reply)
    except StopIteration as ended:
        return Ended(ended.value)
