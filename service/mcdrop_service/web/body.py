"""Reading a request body under a limit of bytes and of time, straight from ASGI."""

from collections.abc import Mapping

from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from mcdrop_service.errors import (
    BodyTimeoutError,
    TooLargeError,
    UnsupportedMediaTypeError,
    shown,
)
from mcdrop_service.web.exchange import exchange_of
from mcdrop_service.web.headers import IDENTITY, JSON, content_coding, headers_of, media_type
from mcdrop_service.web.memory import Account
from mcdrop_service.web.service import Service

__all__ = ["check_media_type", "read_body"]

# After a body grew too long this much more is read and thrown away, so that a client that sends first and
# reads later finds the answer and not a reset connection.
LINGER_BYTES = 8 * 1024 * 1024


def check_media_type(headers: Mapping[bytes, bytes]) -> None:
    """Refuse a body that is not plain JSON.

    Args:
        headers: Of the request. No content type at all is fine.

    Raises:
        UnsupportedMediaTypeError: If another content type or a compression is declared.
    """
    kind, coding = media_type(headers), content_coding(headers)
    if kind != JSON:
        raise UnsupportedMediaTypeError(
            f"the content type must be {JSON}, got {shown(kind)}; with curl, add -H 'content-type: {JSON}'"
        )
    if coding != IDENTITY:
        raise UnsupportedMediaTypeError(
            f"the body must not be compressed, got content encoding {shown(coding)}"
        )


async def read_body(request: Request, service: Service, account: Account) -> bytes:
    """The whole body, or a refusal as soon as it is known to be too long or too slow.

    Args:
        request: Its body was not read yet. That it has one length only, the parser has seen to.
        service: Knows the longest body that is taken, and the time in which all of it must arrive.
        account: Charged for every byte that is kept.

    Returns:
        The body.

    Raises:
        TooLargeError: If it is longer.
        BodyTimeoutError: If it takes longer.
        QueueFullError: If the bodies of all requests together take too much.
        ClientDisconnect: If the client goes away.
    """
    settings, longest = service.settings, service.settings.longest_body
    exchange = exchange_of(request.scope)
    if exchange.whole and not exchange.gone and exchange.waiting_bytes <= longest:  # as most are
        account.take(exchange.waiting_bytes)
        return exchange.hand_over()
    declared = headers_of(request).get(b"content-length", b"0")
    if declared.isdigit() and int(declared) > longest + LINGER_BYTES:
        raise _too_large(longest, declared.decode("latin-1"))
    try:
        with service.body_patience.limit():
            return await _received(request.receive, longest, account)
    except TimeoutError:
        raise BodyTimeoutError(
            f"the body must arrive within {settings.body_timeout_ms} ms, and did not"
        ) from None


async def _received(receive: Receive, max_bytes: int, account: Account) -> bytes:
    chunks: list[bytes] = []
    size, more = 0, True
    while more and size <= max_bytes + LINGER_BYTES:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        chunk = message.get("body", b"")
        size, more = size + len(chunk), message.get("more_body", False)
        if size <= max_bytes:
            account.take(len(chunk))
            chunks.append(chunk)
    if size > max_bytes:
        raise _too_large(max_bytes, f"{size}" if not more else f"more than {size}")
    return b"".join(chunks)


def _too_large(max_bytes: int, came: str) -> TooLargeError:
    return TooLargeError(f"the body may be at most {max_bytes} bytes long, got {came[:20]}")
