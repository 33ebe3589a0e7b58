"""The client: asks a service, and gives the predictive that the library would have given.

    from mcdrop_service.client import Client

    with Client("http://127.0.0.1:8000") as client:
        pred = client.predict("diabetes", x, n_samples=64, seed=7, quantiles=[0.05, 0.95])
    pred.mean, pred.std, pred.interval(0.9)

What is asked, what is read and when it is asked again is decided by plain functions and generators that know
no network (`talk` holds the conversations); `Client` and `AsyncClient` only carry them out with httpx.
"""

from mcdrop_service.client.clients import AsyncClient, Client
from mcdrop_service.client.description import InputDescription, ModelDescription
from mcdrop_service.client.errors import (
    BadRequestError,
    BusyError,
    ClientError,
    ClientTimeoutError,
    ConnectionFailedError,
    DeadlineError,
    ModelFaultError,
    NotFoundError,
    NotReadyError,
    RefusedError,
    TooLargeError,
    UnauthorizedError,
    UnreadableAnswerError,
)
from mcdrop_service.client.patience import Patience
from mcdrop_service.client.question import PredictOptions

__all__ = [
    "AsyncClient",
    "BadRequestError",
    "BusyError",
    "Client",
    "ClientError",
    "ClientTimeoutError",
    "ConnectionFailedError",
    "DeadlineError",
    "InputDescription",
    "ModelDescription",
    "ModelFaultError",
    "NotFoundError",
    "NotReadyError",
    "Patience",
    "PredictOptions",
    "RefusedError",
    "TooLargeError",
    "UnauthorizedError",
    "UnreadableAnswerError",
]
