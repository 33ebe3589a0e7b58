"""Head and body of an answer sent together: one call and one packet, where uvicorn makes two of each."""

import asyncio
from typing import Final

__all__ = ["Joined"]

INTERIM: Final = b"HTTP/1.1 100"
"""How a head begins behind which no body comes, but another head."""


class Joined:
    """What an answer is written to, in the place of its connection's transport.

    Args:
        transport: Of the connection.
    """

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._head: bytes | None = None
        self._begun = False

    def write(self, data: bytes) -> None:
        """Keep the head, which comes first; send all that follows at once.

        Args:
            data: A head, or a piece of a body.
        """
        if self._head is not None:
            self._transport.writelines((self._head, data))
            self._head = None
        elif self._begun or data.startswith(INTERIM):
            self._transport.write(data)
        else:
            self._head, self._begun = data, True

    def flush(self) -> None:
        """Send a head that has no body."""
        if self._head is not None:
            self._transport.write(self._head)
            self._head = None

    def close(self) -> None:
        """Send what was kept, and close the connection."""
        self.flush()
        self._transport.close()

    def is_closing(self) -> bool:
        """Whether the connection is closed, or about to be."""
        return self._transport.is_closing()
