"""What both clients share of httpx: its options for a step, its answers and its errors as plain data."""

import random
import time
from typing import Final, TypedDict
from urllib.parse import urlsplit

import httpx

from mcdrop.errors import OptionError
from mcdrop_service.client.patience import Patience
from mcdrop_service.client.talk import Talk
from mcdrop_service.client.wire import Failure, HttpAnswer, Send

__all__ = ["LIMITS", "answer_of", "arguments_of", "checked_url", "failure_of", "talk_of"]

LIMITS: Final = httpx.Limits(keepalive_expiry=2.0)
"""Less than the service keeps an idle connection: else a request can meet one that is just being closed."""

_NEVER_SENT: Final = (httpx.ConnectTimeout, httpx.PoolTimeout)


class Arguments(TypedDict):
    """Of `httpx.Client.request`."""

    method: str
    url: str
    headers: dict[str, str]
    content: bytes
    timeout: httpx.Timeout


def checked_url(url: str) -> str:
    """An address without a slash at its end.

    Raises:
        OptionError: If it is none.
    """
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise OptionError(f"url must be an address such as 'http://127.0.0.1:8000', got {url!r}")
    return url.rstrip("/")


def talk_of(api_key: str | None, patience: Patience | None) -> Talk:
    """Conversations on the real clock, with chance that is nobody's seed."""
    headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
    return Talk(headers, patience or Patience(), time.monotonic, random.SystemRandom().random)


def arguments_of(url: str, step: Send, connect_timeout_s: float) -> Arguments:
    """How httpx is to send a request.

    Args:
        url: Of the service.
        step: The request, and how long it may take.
        connect_timeout_s: For the connection.
    """
    request, limit_s = step.request, step.timeout_s
    return {
        "method": request.method,
        "url": url + request.path,
        "headers": dict(request.headers),
        "content": request.content,
        "timeout": httpx.Timeout(limit_s, connect=min(connect_timeout_s, limit_s)),
    }


def answer_of(response: httpx.Response) -> HttpAnswer:
    """A response that was read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpAnswer(response.status_code, headers, response.content)


def failure_of(error: httpx.TransportError, url: str) -> Failure:
    """A failure of the network."""
    waited = isinstance(error, httpx.TimeoutException) and not isinstance(error, _NEVER_SENT)
    return Failure(f"{url}: {str(error) or type(error).__name__}", timed_out=waited)
