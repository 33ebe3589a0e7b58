"""The server process: one port, and a stop that keeps its promises.

First SIGTERM: `/readyz` turns to 503 at once, the port stays open for `drain_delay_ms` so that load balancers
notice, then it closes, what runs is finished, and the process exits 0. SIGINT is the same without the delay.
A second signal ends the process at once.
"""

import os
import signal
import socket
import sys
import threading
from types import FrameType

import uvicorn
from starlette.types import ASGIApp

from mcdrop_service.settings import Settings
from mcdrop_service.web.lifecycle import Lifecycle, Phase
from mcdrop_service.web.protocol import guarded_protocol

__all__ = ["listening_socket", "serve_until_stopped", "url_of"]


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket.

    Args:
        host: Address or name.
        port: Port; 0 takes a free one.

    Returns:
        The socket, not yet accepting.

    Raises:
        OSError: If the address cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError:
        listener.close()
        raise
    return listener


def url_of(listener: socket.socket) -> str:
    """Where a socket can be reached.

    Args:
        listener: A bound socket.

    Returns:
        An http URL without a slash at the end.
    """
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def serve_until_stopped(
    app: ASGIApp, *, lifecycle: Lifecycle, settings: Settings, listener: socket.socket
) -> str | None:
    """Serve on a socket until a signal ends it.

    Args:
        app: The application.
        lifecycle: Shared with the application.
        settings: Timeouts.
        listener: A bound socket.

    Returns:
        None after an orderly stop, else why nothing could be served.
    """
    config = uvicorn.Config(
        app,
        http=guarded_protocol(settings),
        ws="none",
        lifespan="on",
        loop="asyncio",
        access_log=False,
        server_header=False,
        log_level="warning",
        timeout_keep_alive=-(-settings.keep_alive_ms // 1000),
        timeout_graceful_shutdown=-(-settings.drain_timeout_ms // 1000),
    )
    _DrainingServer(config, lifecycle, settings.drain_delay_ms / 1000).run(sockets=[listener])
    return lifecycle.failure


class _DrainingServer(uvicorn.Server):
    """uvicorn's server, with its answer to signals replaced."""

    def __init__(self, config: uvicorn.Config, lifecycle: Lifecycle, drain_delay_s: float) -> None:
        super().__init__(config)
        self._lifecycle = lifecycle
        self._drain_delay_s = drain_delay_s

    async def on_tick(self, counter: int) -> bool:
        return await super().on_tick(counter) or self._lifecycle.phase is Phase.FAILED

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's signature
        if self._lifecycle.phase is Phase.DRAINING:
            _exit_now(128 + sig)
        self._lifecycle.drain()
        delay_s = self._drain_delay_s if sig == signal.SIGTERM else 0
        timer = threading.Timer(delay_s, self._close)
        timer.daemon = True
        timer.start()

    def _close(self) -> None:
        self.should_exit = True


def _exit_now(code: int) -> None:
    """End without waiting for anything: the worker may be deep inside a forward pass."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)
