"""Who may ask: keys, of which the service knows only the hashes, compared in constant time."""

import hashlib
import hmac
import re
from collections.abc import Collection
from pathlib import Path
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from mcdrop_service.errors import UnauthorizedError
from mcdrop_service.web.answers import refusal
from mcdrop_service.web.direct import below
from mcdrop_service.web.watch import notes_of

__all__ = ["Gate", "digest_of", "read_keys", "read_token"]

LINE: Final = re.compile(r"[^:\s]+:([0-9a-f]{64})")
LEAST_CHARACTERS: Final = 16
OPEN_PATHS: Final = frozenset(
    {"/healthz", "/readyz", "/metrics", "/docs", "/openapi.json", "/v2/health/live", "/v2/health/ready"}
)
"""What probes, Prometheus and people may read without a key; it names no model's data."""


def digest_of(key: str) -> bytes:
    """The SHA-256 of a key.

    Args:
        key: Long and random, so that its hash need not be slow.
    """
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()


def read_keys(file: Path | None) -> tuple[bytes, ...]:
    """The hashes in a file of API keys.

    Args:
        file: A line `NAME:SHA256` for each key; empty lines and lines that begin with # are passed over.

    Returns:
        None where there is no file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If a line is something else, or there is none.
    """
    if file is None:
        return ()
    lines = [(n, line.strip()) for n, line in enumerate(file.read_text("utf-8").splitlines(), 1)]
    keys = [(n, LINE.fullmatch(line)) for n, line in lines if line and not line.startswith("#")]
    wrong = [n for n, found in keys if not found]
    if wrong or not keys:
        came = f"something else in line {wrong[0]}" if wrong else "none"
        raise ValueError(f"{file} must hold lines NAME:SHA256, with 64 hexadecimal digits, got {came}")
    return tuple(bytes.fromhex(found[1]) for _, found in keys if found)


def read_token(file: Path | None) -> tuple[bytes, ...]:
    """The hash of the token in a file.

    Args:
        file: One line, the token itself.

    Returns:
        It alone, or none where there is no file.

    Raises:
        OSError: If it cannot be read.
        ValueError: If the token is short.
    """
    if file is None:
        return ()
    token = file.read_text("utf-8").strip()
    if len(token) < LEAST_CHARACTERS:
        raise ValueError(f"{file} must hold a token of at least {LEAST_CHARACTERS} characters")
    return (digest_of(token),)


class Gate:
    """Pure ASGI: lets nobody in without a key, but for the paths that are open.

    Args:
        app: What it guards.
        keys: Hashes of those that are known; at least one.
        open_paths: Which need none.
        root_path: That a proxy may have put in front of them.
    """

    def __init__(
        self,
        app: ASGIApp,
        keys: Collection[bytes],
        open_paths: Collection[str] = OPEN_PATHS,
        *,
        root_path: str = "",
    ) -> None:
        self._app = app
        self._keys = tuple(keys)
        self._open_paths = frozenset(open_paths)
        self._root_path = root_path

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or self._is_open(scope) or self._is_known(Headers(scope=scope)):
            await self._app(scope, receive, send)
            return
        error = UnauthorizedError("a key is wanted: send the header 'Authorization: Bearer KEY'")
        notes_of(scope).refusal = error.message
        await refusal(error)(scope, receive, send)

    def _is_open(self, scope: Scope) -> bool:
        return below(self._root_path, scope["path"]) in self._open_paths

    def _is_known(self, headers: Headers) -> bool:
        scheme, _, key = headers.get("authorization", "").partition(" ")
        came = digest_of(key.strip() if scheme.lower() == "bearer" else headers.get("x-api-key", ""))
        # every known key is compared, each in constant time: how long it takes tells nothing
        return sum(hmac.compare_digest(came, known) for known in self._keys) > 0
