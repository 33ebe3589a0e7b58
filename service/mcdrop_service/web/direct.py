"""Routes without a framework on the way: FastAPI documents them, and answers what is no route of ours."""

from collections.abc import Awaitable, Callable, Sequence
from re import Pattern

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from mcdrop_service.errors import ServiceError
from mcdrop_service.web.answers import refusal
from mcdrop_service.web.watch import notes_of

__all__ = ["Direct", "below"]

Endpoint = Callable[..., Awaitable[Response]]


class Direct:
    """Pure ASGI: calls the function of a route with the request and the texts in its path.

    What FastAPI and Starlette do around such a function (dependencies, exit stacks, validation of a body that
    is read raw) took as long as the rest of the way of a request together, and does nothing for these routes.

    Args:
        app: Documents the routes, and answers all other requests.
        routers: Of routes whose functions take the request, then by name the texts in the path, and raise
            `ServiceError`.
        root_path: That a proxy may have put in front of them.
    """

    def __init__(self, app: FastAPI, routers: Sequence[APIRouter], *, root_path: str = "") -> None:
        self._app = app
        self._root_path = root_path
        self._ways: dict[str, list[tuple[Pattern[str], Endpoint]]] = {}
        for router in routers:
            app.include_router(router)
            for route in router.routes:
                if isinstance(route, APIRoute):
                    self._add(route)

    def _add(self, route: APIRoute) -> None:
        methods = route.methods or set()
        for method in methods | ({"HEAD"} if "GET" in methods else set()):  # as probes of some monitors ask
            self._ways.setdefault(method, []).append((route.path_regex, route.endpoint))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] == "http":
            path = below(self._root_path, scope["path"])
            scope["root_path"] = self._root_path
            for pattern, endpoint in self._ways.get(scope["method"], ()):
                if found := pattern.match(path):
                    scope["app"] = self._app
                    try:
                        response = await endpoint(Request(scope, receive, send), **found.groupdict())
                    except ServiceError as error:
                        notes_of(scope).refusal = error.message
                        response = refusal(error)
                    await response(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def below(root: str, path: str) -> str:
    """A path without that of the proxy, which may have taken it away itself.

    Args:
        root: Of the proxy; empty if there is none.
        path: Of the request.
    """
    return path[len(root) :] if root and path.startswith(f"{root}/") else path
