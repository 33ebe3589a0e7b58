"""Every refusal that the service sends on purpose: one tree, each with its HTTP status.

ServiceError
├── BadRequestError            400  the request is not what was wanted
├── UnauthorizedError          401  no key, or an unknown one
├── NotFoundError              404  no such model or page
├── BodyTimeoutError           408  the body came too slowly
├── TooLargeError              413  the request is over a limit
├── UnsupportedMediaTypeError  415  the body is not plain JSON
├── QueueFullError             429  too much is queued already
├── ModelFaultError            500  the model failed, or gave a number that is not finite
├── WorkerDiedError            500  nothing will be computed any more, and the process ends
├── NotReadyError              503  still starting, or stopping
└── DeadlineError              504  the answer would come too late

`NotBitwiseError` is for the operator: a model is refused when it is loaded.
"""

from typing import ClassVar

__all__ = [
    "BadRequestError",
    "BodyTimeoutError",
    "DeadlineError",
    "ModelFaultError",
    "NotBitwiseError",
    "NotFoundError",
    "NotReadyError",
    "QueueFullError",
    "ServiceError",
    "TooLargeError",
    "UnauthorizedError",
    "UnsupportedMediaTypeError",
    "WorkerDiedError",
    "shown",
]

SHOWN_CHARACTERS = 60


class ServiceError(Exception):
    """The root: a refusal with a status, and a message that is safe to send.

    Args:
        message: What was wanted and what came. No path, no class name, no traceback.
        retry_after_s: Whole seconds after which asking again makes sense, where that is known.
    """

    status: ClassVar[int] = 500

    def __init__(self, message: str, *, retry_after_s: int | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.retry_after_s = retry_after_s


class BadRequestError(ServiceError):
    """The request is not what was wanted."""

    status = 400


class UnauthorizedError(ServiceError):
    """There is no key, or an unknown one."""

    status = 401


class NotFoundError(ServiceError):
    """There is no such model, or no such page."""

    status = 404


class BodyTimeoutError(ServiceError):
    """The body did not arrive in time."""

    status = 408


class TooLargeError(ServiceError):
    """The request is over a limit that waiting does not lift."""

    status = 413


class UnsupportedMediaTypeError(ServiceError):
    """The body is of a kind that is not read here."""

    status = 415


class QueueFullError(ServiceError):
    """Too much work is queued: asking again later makes sense."""

    status = 429


class ModelFaultError(ServiceError):
    """The model failed on this request, or answered with a number that is not finite."""

    status = 500


class WorkerDiedError(ServiceError):
    """The thread that computes has ended by itself: nothing will be computed any more."""

    status = 500

    def __init__(self) -> None:
        super().__init__("the worker died; the service's log says why")


class NotReadyError(ServiceError):
    """The service is starting or stopping."""

    status = 503


class DeadlineError(ServiceError):
    """The answer did not come before its deadline."""

    status = 504


class NotBitwiseError(ValueError):
    """A model cannot be served under the promise that was demanded; never sent to a client."""


def shown(value: object) -> str:
    """A value as an error message may repeat it: its `repr`, cut to a bounded length.

    Args:
        value: Anything that a client sent.

    Returns:
        At most `SHOWN_CHARACTERS` characters of its `repr`, and `...` where it was cut.
    """
    text = repr(value[:SHOWN_CHARACTERS]) if isinstance(value, str) else repr(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
