"""Middleware around all but `Watch`: no failure leaves the service as anything but `{"error": ...}`."""

import asyncio
import logging

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from mcdrop_service.errors import NotReadyError, ServiceError
from mcdrop_service.web.answers import refusal
from mcdrop_service.web.watch import notes_of

__all__ = ["Shield"]

logger = logging.getLogger("mcdrop_service")


class Shield:
    """Pure ASGI: logs what was not foreseen, and answers with an id that the log has too.

    Args:
        app: What it protects.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            notes_of(scope).gone = True
            # nobody reads it; it only ends the exchange in the way that the server expects
            await refusal(ServiceError("the client went away"))(scope, receive, send)
        except asyncio.CancelledError:
            # only a stop that has waited long enough cancels what is asked
            if _cannot_answer(scope):
                raise
            error = NotReadyError("the service is stopping", retry_after_s=1)
            notes_of(scope).refusal = error.message
            await refusal(error)(scope, receive, send)
        except Exception:
            if _cannot_answer(scope):
                raise
            await _apology(notes_of(scope).request_id)(scope, receive, send)


def _cannot_answer(scope: Scope) -> bool:
    """Whether it is no request, or its answer has begun: `Watch` notes that."""
    return scope["type"] != "http" or notes_of(scope).status > 0


def _apology(name: str) -> ASGIApp:
    logger.exception("unforeseen failure %s", name)
    return refusal(ServiceError(f"internal error; the service's log has it under {name}"))
