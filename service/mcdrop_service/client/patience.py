"""When to ask again, and when to give up.

A prediction is a function of model, rows, seed and number of samples, and changes nothing at the service:
asked twice, it gives the same bits. So it is asked again after every refusal that says "later" (429, 503) and
after every connection that could not be had or that broke, at whatever point. It is not asked again when it
was refused for what it is (400, 404, 413, 500, ...), nor when the time is up.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mcdrop.errors import DomainError
from mcdrop_service.client.errors import ClientError, ClientTimeoutError, RefusedError
from mcdrop_service.client.reading import error_of
from mcdrop_service.client.wire import Conversation, HttpAnswer, HttpRequest, Send, Wait

__all__ = ["Patience", "Watch", "answered"]


@dataclass(frozen=True)
class Patience:
    """How long, and how often.

    Attributes:
        timeout_s: For a call as a whole, with all that is asked again; each attempt is told what is left.
        connect_timeout_s: For a connection.
        max_attempts: How often a request is sent at most; 1 never asks again.
        first_pause_s: Before the second attempt; doubled before each further one. Where the service says
            when to come back, that long.
        longest_pause_s: Of the pauses that double.

    Raises:
        DomainError: If a number lies outside its range.
    """

    timeout_s: float = 60.0
    connect_timeout_s: float = 5.0
    max_attempts: int = 5
    first_pause_s: float = 0.1
    longest_pause_s: float = 5.0

    def __post_init__(self) -> None:
        for name in ("timeout_s", "connect_timeout_s", "first_pause_s", "longest_pause_s"):
            if not getattr(self, name) > 0:
                raise DomainError(f"{name} must be a positive number of seconds, got {getattr(self, name)!r}")
        if self.max_attempts < 1:
            raise DomainError(f"max_attempts must be at least 1, got {self.max_attempts!r}")

    def pause_s(self, error: ClientError, attempt: int, jitter: float) -> float:
        """How long to wait before the next attempt.

        Args:
            error: Of the last one.
            attempt: Its number, from 1 on.
            jitter: In [0, 1): spreads those who were turned away together.

        Returns:
            Seconds: what the service said and up to a quarter more, or a doubled pause and up to half less.
        """
        if isinstance(error, RefusedError) and error.retry_after_s is not None:
            return error.retry_after_s * (1 + jitter / 4)
        doubled: float = self.first_pause_s * 2.0 ** (attempt - 1)
        return min(doubled, self.longest_pause_s) * (1 - jitter / 2)


@dataclass(frozen=True)
class Watch:
    """A clock, the time at which a call is given up, and chance.

    Attributes:
        clock: Seconds, as `time.monotonic`.
        deadline_s: On this clock.
        jitter: Numbers in [0, 1).
    """

    clock: Callable[[], float]
    deadline_s: float
    jitter: Callable[[], float]

    @property
    def left_s(self) -> float:
        """Seconds until the deadline."""
        return self.deadline_s - self.clock()


def answered(
    request_within: Callable[[float], HttpRequest], patience: Patience, watch: Watch
) -> Conversation[HttpAnswer]:
    """Ask until there is an answer, or a reason not to ask again.

    Args:
        request_within: The request, given the seconds that are left for it.
        patience: How often.
        watch: How long.

    Returns:
        An answer of status 200.

    Raises:
        ClientError: The last reason why there is none.
    """
    attempt = 0
    while True:
        attempt += 1
        left_s = watch.left_s
        if left_s <= 0:
            raise ClientTimeoutError(f"no answer within {patience.timeout_s:g} s")
        reply = yield Send(request_within(left_s), left_s)
        error = error_of(reply, patience.timeout_s)
        if error is None:
            assert isinstance(reply, HttpAnswer)  # noqa: S101  a failure has an error
            return reply
        pause_s = patience.pause_s(error, attempt, watch.jitter())
        if not error.asked_again or attempt == patience.max_attempts or pause_s >= watch.left_s:
            raise error
        yield Wait(pause_s)
