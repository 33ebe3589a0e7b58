"""The server process: one port, and a stop that keeps its promises.

First SIGTERM: `/readyz` turns to 503 at once, the port stays open for `drain_delay_ms` so that load balancers
notice, then it closes, what runs is finished, and the process exits 0. SIGINT is the same without the delay.
A second signal ends the process at once. SIGHUP loads the models anew.
"""

import asyncio
import logging
import os
import resource
import signal
import socket
import sys
import threading
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType
from typing import Any, Final, Literal

import uvicorn
from starlette.types import ASGIApp

from mcdrop_service.web.lifecycle import Phase
from mcdrop_service.web.protocol import guarded_protocol
from mcdrop_service.web.service import Service

__all__ = ["Door", "listening_socket", "serve_until_stopped", "url_of"]

logger = logging.getLogger("mcdrop_service")

FILES_BESIDE: Final = 64
"""Connections: what else is open, also while a model is loaded."""
BACKLOG: Final = 2048
"""Connections that wait to be accepted: uvicorn's number."""


def listening_socket(host: str, port: int) -> socket.socket:
    """A bound socket.

    Args:
        host: Address or name.
        port: Port; 0 takes a free one.

    Returns:
        The socket, not yet accepting.

    Raises:
        OSError: If the address cannot be had; says which.
    """
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except OSError as error:
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
    listener = socket.socket(family, kind, protocol)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise OSError(f"cannot listen on {host}:{port}: {error.strerror}") from error
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


@dataclass(frozen=True)
class Door:
    """An application, and the socket on which it is asked.

    Attributes:
        app: The application.
        listener: Bound.
    """

    app: ASGIApp
    listener: socket.socket


def serve_until_stopped(
    app: ASGIApp,
    *,
    service: Service,
    listener: socket.socket,
    management: Door | None = None,
    supervised: bool = False,
) -> str | None:
    """Serve on a socket until a signal ends it.

    Args:
        app: The application.
        service: Shared with the application.
        listener: A bound socket.
        management: The management port, if there is one.
        supervised: Whether a second signal means nothing: it can come from the supervisor and, as from
            systemd, to all processes at once. The supervisor kills where that is meant.

    Returns:
        None after an orderly stop, else why nothing could be served.
    """
    for each in (listener, *(() if management is None else (management.listener,))):
        try:
            each.listen(BACKLOG)  # two can have one address, but only one of them can listen
        except OSError as error:
            return f"cannot listen on {url_of(each)}: {error.strerror}"
    _have_room_for(service.settings.max_connections)
    side = None if management is None else _SideServer(management, service)
    config = _config(app, service, lifespan="on")
    _DrainingServer(config, service, side, supervised=supervised).run(sockets=[listener])
    return service.lifecycle.failure


def _have_room_for(connections: int) -> None:
    """Raise the limit of open files if need be: beyond it connections are reset, and nobody is told."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = connections + FILES_BESIDE
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        logger.warning("%d connections may be open, and files only %d (ulimit -n)", connections, most)


def _config(app: ASGIApp, service: Service, *, lifespan: Literal["on", "off"]) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        http=guarded_protocol(
            service.settings, service.metrics.connection_refused, lambda: service.lifecycle.stopping
        ),
        ws="none",
        lifespan=lifespan,
        loop="uvloop",
        access_log=False,
        proxy_headers=False,  # nothing here asks for the client's address or the scheme
        server_header=False,
        log_config=None,
        log_level="warning",
        timeout_graceful_shutdown=-(-service.settings.drain_timeout_ms // 1000),
    )


class _SideServer(uvicorn.Server):
    """The server of another port in the same process; signals are the main one's."""

    def __init__(self, door: Door, service: Service) -> None:
        super().__init__(_config(door.app, service, lifespan="off"))
        self._listener = door.listener

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def serve_here(self) -> None:
        """Serve until `should_exit`."""
        await self.serve([self._listener])


class _DrainingServer(uvicorn.Server):
    """uvicorn's server, with its answer to signals replaced."""

    def __init__(
        self, config: uvicorn.Config, service: Service, side: _SideServer | None, *, supervised: bool
    ) -> None:
        super().__init__(config)
        self._supervised = supervised
        self._service = service
        self._lifecycle = service.lifecycle
        self._drain_delay_s = service.settings.drain_delay_ms / 1000
        self._side = side
        self._tasks: set[asyncio.Task[None]] = set()
        self._told = self._is_to_refresh = False

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, self._refresh)
        if self._side is not None:
            self._begin(self._side.serve_here())

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._side is not None:
            self._side.should_exit = True
        logger.info("the port is closed: what runs is finished")
        await super().shutdown(sockets)
        logger.info("stopped")

    async def on_tick(self, counter: int) -> bool:
        if self._service.engine.died:
            self._lifecycle.fail("the worker died; the log says why")
        if self._lifecycle.phase is Phase.DRAINING and not self._told:
            self._told = True  # here and not where the signal comes, which may be amid a line of the log
            logger.info("a signal to stop has come: not ready")
        if self._is_to_refresh and self._service.serving and self._service.reloader is not None:
            self._is_to_refresh = False
            self._begin(self._service.reloader.refresh())
        return await super().on_tick(counter) or self._lifecycle.phase is Phase.FAILED

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  uvicorn's signature
        if self._lifecycle.phase is Phase.DRAINING:
            if not self._supervised:
                _exit_now(128 + sig)
            return
        self._lifecycle.drain()
        delay_s = self._drain_delay_s if sig == signal.SIGTERM else 0
        timer = threading.Timer(delay_s, self._close)
        timer.daemon = True
        timer.start()

    def _close(self) -> None:
        self.should_exit = True

    def _refresh(self) -> None:
        """SIGHUP: what is served becomes what the repository holds, once anything is served."""
        self._is_to_refresh = True

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)  # the loop itself holds tasks weakly
        task.add_done_callback(self._tasks.discard)


def _exit_now(code: int) -> None:
    """End without waiting for anything: the worker may be deep inside a forward pass."""
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    finally:
        os._exit(code)
