"""What both clients share of httpx: its options for a step, its answers and its errors as plain data."""

import random
import time
from dataclasses import dataclass
from typing import Final, Self, TypedDict
from urllib.parse import urlsplit

import httpx

from mcdrop.errors import OptionError
from mcdrop_service.client.patience import Patience
from mcdrop_service.client.talk import Talk
from mcdrop_service.client.wire import Failure, HttpAnswer, Send

__all__ = ["LIMITS", "Line", "answer_of"]

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


@dataclass(frozen=True)
class Line:
    """To one service.

    Attributes:
        url: Its address, without a slash at the end.
        talk: The conversations with it.
    """

    url: str
    talk: Talk

    @classmethod
    def to(cls, url: str, api_key: str | None, patience: Patience | None) -> Self:
        """A line on the real clock, with chance that is nobody's seed.

        Raises:
            OptionError: If `url` is no address.
        """
        headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        chance = random.SystemRandom().random
        return cls(_checked_url(url), Talk(headers, patience or Patience(), time.monotonic, chance))

    def arguments(self, step: Send) -> Arguments:
        """How httpx is to send a request."""
        request, limit_s = step.request, step.timeout_s
        connect_s = min(self.talk.patience.connect_timeout_s, limit_s)
        return {
            "method": request.method,
            "url": self.url + request.path,
            "headers": dict(request.headers),
            "content": request.content,
            "timeout": httpx.Timeout(limit_s, connect=connect_s),
        }

    def failure(self, error: httpx.TransportError) -> Failure:
        """A failure of the network."""
        waited = isinstance(error, httpx.TimeoutException) and not isinstance(error, _NEVER_SENT)
        return Failure(f"{self.url}: {str(error) or type(error).__name__}", timed_out=waited)


def answer_of(response: httpx.Response) -> HttpAnswer:
    """A response that was read."""
    headers = {name.lower(): value for name, value in response.headers.items()}
    return HttpAnswer(response.status_code, headers, response.content)


def _checked_url(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.netloc or parts.query or parts.fragment:
        raise OptionError(f"url must be an address such as 'http://127.0.0.1:8000', got {url!r}")
    return url.rstrip("/")
