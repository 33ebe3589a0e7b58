"""HTTP responses: JSON bytes that are ready, and every refusal as `{"error": "..."}`."""

from collections.abc import Mapping, Sequence

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mcdrop_service.encoding import encode_document, encode_error
from mcdrop_service.errors import ServiceError, UnauthorizedError, shown
from mcdrop_service.web.exchange import exchange_of
from mcdrop_service.web.memory import Account
from mcdrop_service.web.watch import notes_of

__all__ = ["JsonResponse", "LongResponse", "document_response", "refusal", "refused_by_router"]


class JsonResponse(Response):
    """A response whose body is JSON already; Starlette's own constructor finds its headers out step by step.

    Args:
        content: UTF-8 JSON.
        status: HTTP status.
    """

    def __init__(self, content: bytes, status: int = 200) -> None:
        self.status_code = status
        self.body = content
        self.background = None
        self.raw_headers = [(b"content-length", b"%d" % len(content)), (b"content-type", b"application/json")]


class LongResponse(Response):
    """A response whose bytes are accounted for until the client has taken them.

    Args:
        response: To be sent.
        account: Of its bytes; closed when it was sent.
    """

    def __init__(self, response: Response, account: Account) -> None:
        self._response = response
        self._account = account

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Send it, and wait until it is taken."""
        with self._account:
            await self._response(scope, receive, send)
            await exchange_of(scope).delivered()


def document_response(document: Mapping[str, object] | Sequence[object], status: int = 200) -> Response:
    """A document as a response.

    Args:
        document: Strings, numbers, lists and mappings.
        status: HTTP status.
    """
    return JsonResponse(encode_document(document), status)


def refusal(error: ServiceError) -> Response:
    """A refusal as a response.

    Args:
        error: Says what was wanted and what came.

    Returns:
        Its status, `{"error": ...}`, and `Retry-After` where it is known.
    """
    response = JsonResponse(encode_error(error.message), error.status)
    if error.retry_after_s is not None:
        response.headers["retry-after"] = str(error.retry_after_s)
    if isinstance(error, UnauthorizedError):
        response.headers["www-authenticate"] = "Bearer"
    return response


async def refused_by_router(request: Request, error: Exception) -> Response:
    """Turns the framework's refusals, such as an unknown page, into our form (an exception handler).

    Args:
        request: What was asked.
        error: An `HTTPException`.

    Returns:
        The response, with the framework's own headers (such as `Allow`).
    """
    status, headers = (error.status_code, error.headers) if isinstance(error, HTTPException) else (500, None)
    asked = f"{request.method} {shown(request.url.path)}"
    documented = "; /docs says what there is" if request.app.openapi_url else ""
    messages = {404: f"there is no page for {asked}{documented}", 405: f"this page does not take {asked}"}
    message = notes_of(request.scope).refusal = messages.get(status, "the request cannot be answered")
    response = JsonResponse(encode_error(message), status)
    response.headers.update(headers or {})
    return response
