"""What the head of a request says of its body: one rule for all routes."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from starlette.requests import Request

__all__ = ["IDENTITY", "JSON", "content_coding", "headers_of", "media_type"]

JSON: Final = "application/json"
IDENTITY: Final = "identity"

_BLANKS: Final = b" \t"


def headers_of(request: Request) -> Mapping[bytes, bytes]:
    """The headers of a request by their names in lower case; of those with equal names the first.

    Args:
        request: Any. Its own `headers` look through all of them for each name, and decode it.
    """
    return dict(reversed(request.scope["headers"]))


def media_type(headers: Mapping[bytes, bytes]) -> str:
    """The content type of a body in lower case, without parameters; JSON if none is declared.

    Args:
        headers: Of the request.
    """
    return _word(headers.get(b"content-type", JSON.encode()).partition(b";")[0])


def content_coding(headers: Mapping[bytes, bytes]) -> str:
    """The content coding of a body in lower case; `identity` if none is declared.

    Args:
        headers: Of the request.
    """
    return _word(headers.get(b"content-encoding", IDENTITY.encode()))


@lru_cache(maxsize=64)
def _word(value: bytes) -> str:
    """Blanks and capitals are those of ASCII: Latin-1 has more of both, which HTTP has not."""
    return value.strip(_BLANKS).lower().decode("latin-1")
