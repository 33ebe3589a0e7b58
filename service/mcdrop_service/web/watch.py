"""The outermost middleware: gives each request an id, and writes down how it ended."""

import logging
import re
import secrets
import time
from collections.abc import Iterable
from itertools import count
from typing import Final

from starlette.requests import Request
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from mcdrop_service.telemetry import CLIENT_GONE, Notes
from mcdrop_service.web.service import Service

__all__ = ["Watch", "notes_of", "service_of"]

logger = logging.getLogger("mcdrop_service.requests")

KEY: Final = "mcdrop.notes"
SERVICE: Final = "mcdrop.service"
TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-([0-9a-f]{32})-[0-9a-f]{16}-[0-9a-f]{2}(-.*)?")
"""Version, trace, parent and flags; later versions may add more. https://www.w3.org/TR/trace-context/"""
NO_TRACE: Final = b"0" * 32
NUMBERS: Final = count(1)
"""Of requests. Behind a random half an id is unique, and costs no system call."""
PREDICTIONS: Final = ("/predict", "/infer")


def notes_of(scope: Scope) -> Notes:
    """What was noted of a request so far.

    Args:
        scope: Of the request.

    Returns:
        The notes, to be written on.
    """
    if KEY not in scope:
        scope[KEY] = Notes()
    notes: Notes = scope[KEY]
    return notes


def service_of(request: Request) -> Service:
    """The service that a request came to.

    Args:
        request: Any.
    """
    service: Service = request.scope[SERVICE]
    return service


class Watch:
    """Pure ASGI: metrics, statistics and one line in the log for each request.

    Args:
        app: What it watches.
        service: Where metrics and the journal are kept.
    """

    def __init__(self, app: ASGIApp, service: Service) -> None:
        self._app = app
        self._service = service
        self._process = secrets.token_hex(8)  # of each worker its own: they are forked with all modules

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        scope[SERVICE] = self._service
        notes = scope[KEY] = Notes(self._request_id(scope["headers"]), time.monotonic())

        async def noting_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                notes.status = message["status"]
                message["headers"] = [*message["headers"], (b"x-request-id", notes.request_id.encode())]
            await send(message)

        self._service.metrics.arrived()
        try:
            await self._app(scope, receive, noting_send)
        finally:
            self._ended(scope, notes, CLIENT_GONE if notes.gone else notes.status or CLIENT_GONE)

    def _request_id(self, headers: Iterable[tuple[bytes, bytes]]) -> str:
        """The trace that the request belongs to, if it says so, else a new one."""
        for name, value in headers:
            if name == b"traceparent":
                found = TRACEPARENT.fullmatch(value.strip())
                if found and found[1] != NO_TRACE:
                    return found[1].decode()
        return f"{self._process}{next(NUMBERS):016x}"

    def _ended(self, scope: Scope, notes: Notes, status: int) -> None:
        seconds = time.monotonic() - notes.arrived_s
        self._service.journal.request_ended(
            notes, status, seconds, predicts=scope["path"].endswith(PREDICTIONS)
        )
        if logger.isEnabledFor(logging.INFO):
            logger.info("request", extra={"fields": _fields(scope, notes, status, seconds)})


def _fields(scope: Scope, notes: Notes, status: int, seconds: float) -> dict[str, object]:
    told: dict[str, object] = {
        "request_id": notes.request_id,
        "method": scope["method"],
        "path": scope["path"][:200],
        "status": status,
        "ms": round(seconds * 1000, 3),
    }
    if notes.model:
        told |= {"model": notes.model, "version": notes.version}
    if notes.rows:
        told |= {
            "rows": notes.rows,
            "n_samples": notes.n_samples,
            "queued_ms": round(notes.queued_s * 1000, 3),
        }
    if notes.refusal:
        told["error"] = notes.refusal
    return told
