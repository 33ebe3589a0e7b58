"""Compressed bodies, unpacked in steps under a limit: a small bomb must not become a large body."""

import zlib
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from mcdrop_service.errors import BadRequestError, TooLargeError

__all__ = ["CODINGS", "MOST_TIMES", "inflated"]

CODINGS: Final[Mapping[str, int]] = MappingProxyType({"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS})
"""What zlib calls each content coding: `deflate` is a zlib stream."""

MOST_TIMES: Final = 1032
"""How many times its length a deflated body can unpack to: 258 bytes for 2 bits. https://zlib.net/zlib_tech.html"""


def inflated(body: bytes, coding: str, max_bytes: int) -> bytes:
    """What a compressed body holds.

    Args:
        body: One whole stream.
        coding: A key of `CODINGS`.
        max_bytes: Longest result; no more than this is ever unpacked.

    Raises:
        BadRequestError: If the stream is damaged, cut, or something follows it.
        TooLargeError: If more comes out.
    """
    stream = zlib.decompressobj(wbits=CODINGS[coding])
    try:
        unpacked = stream.decompress(body, max_bytes + 1)
    except zlib.error:
        raise BadRequestError(
            f"the body must be {coding}, as its content encoding says, and is not"
        ) from None
    if len(unpacked) > max_bytes:
        raise TooLargeError(f"the body may be at most {max_bytes} bytes long when unpacked, got more")
    if not stream.eof or stream.unused_data:
        raise BadRequestError(f"the body must be one whole {coding} stream, got less or more")
    return unpacked
