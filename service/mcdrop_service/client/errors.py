"""Every error of the client: one tree, under the library's own root.

ClientError (McdropError)
├── ConnectionFailedError (ConnectionError)  nothing answers there, or the connection broke
├── ClientTimeoutError (TimeoutError)        no answer within the client's own limit
├── UnreadableAnswerError (ValueError)       what answered is no service of mcdrop, or another version of it
└── RefusedError                             the service said no: its status, its message, its request id
    ├── BadRequestError (ValueError)      400  the request is not what the model wants
    ├── UnauthorizedError (PermissionError) 401  no key, or an unknown one
    ├── NotFoundError (LookupError)       404  no such model or version
    ├── TooLargeError (ValueError)        413  over a limit of the service
    ├── BusyError                         429  too much is queued there
    ├── ModelFaultError (RuntimeError)    500  the model failed, or gave a number that is not finite
    ├── NotReadyError                     503  the service is starting or stopping
    └── DeadlineError (TimeoutError)      504  the service could not answer in time
"""

from typing import ClassVar

from mcdrop.errors import McdropError

__all__ = [
    "REFUSALS",
    "BadRequestError",
    "BusyError",
    "ClientError",
    "ClientTimeoutError",
    "ConnectionFailedError",
    "DeadlineError",
    "ModelFaultError",
    "NotFoundError",
    "NotReadyError",
    "RefusedError",
    "TooLargeError",
    "UnauthorizedError",
    "UnreadableAnswerError",
]


class ClientError(McdropError):
    """The root: catch this to catch everything that asking a service can raise."""

    asked_again: ClassVar[bool] = False
    """Whether the client asks again by itself, as long as its patience lasts."""


class ConnectionFailedError(ClientError, ConnectionError):
    """Nothing answers at the address, or the connection broke before the whole answer was there."""

    asked_again = True


class ClientTimeoutError(ClientError, TimeoutError):
    """No answer came within the client's own limit."""


class UnreadableAnswerError(ClientError, ValueError):
    """What answered is no service of mcdrop, or one of a version that this client does not know."""


class RefusedError(ClientError):
    """The service said no.

    Args:
        message: The service's own words.
        status: HTTP status.
        request_id: What the service's log calls the request; None if it did not say.
        retry_after_s: Seconds after which it wants to be asked again; None if it did not say.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int,
        request_id: str | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        told = "" if request_id is None else f", request id {request_id}"
        super().__init__(f"{message} (status {status}{told})")
        self.message = message
        self.status = status
        self.request_id = request_id
        self.retry_after_s = retry_after_s


class BadRequestError(RefusedError, ValueError):
    """The request is not what the model wants."""


class UnauthorizedError(RefusedError, PermissionError):
    """The service wants a key, or does not know this one."""


class NotFoundError(RefusedError, LookupError):
    """The service has no such model, or no such version of it."""


class TooLargeError(RefusedError, ValueError):
    """The request is over a limit of the service that waiting does not lift."""


class BusyError(RefusedError):
    """Too much is queued at the service."""

    asked_again = True


class ModelFaultError(RefusedError, RuntimeError):
    """The model failed on these rows, or answered with a number that is not finite."""


class NotReadyError(RefusedError):
    """The service is starting or stopping."""

    asked_again = True


class DeadlineError(RefusedError, TimeoutError):
    """The service could not answer before the deadline."""


REFUSALS: dict[int, type[RefusedError]] = {
    400: BadRequestError,
    401: UnauthorizedError,
    404: NotFoundError,
    413: TooLargeError,
    429: BusyError,
    500: ModelFaultError,
    503: NotReadyError,
    504: DeadlineError,
}
"""By status; any other is a `RefusedError`."""
