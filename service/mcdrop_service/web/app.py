"""The application: routes, middleware and handlers put together around an engine."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from mcdrop_service import __version__
from mcdrop_service.web import open_inference
from mcdrop_service.web.answers import refused_by_router
from mcdrop_service.web.direct import Direct
from mcdrop_service.web.inference_form import JSON_LENGTH
from mcdrop_service.web.keys import Gate
from mcdrop_service.web.routes import router
from mcdrop_service.web.service import Service
from mcdrop_service.web.shield import Shield
from mcdrop_service.web.watch import Watch

__all__ = ["create_app"]

logger = logging.getLogger("mcdrop_service")

ABOUT = (
    "Predictions with their uncertainty, by Monte Carlo dropout. Every answer can be replayed from its seed."
)


def create_app(service: Service, *, on_ready: Callable[[], None] = lambda: None) -> ASGIApp:
    """The service as an ASGI application.

    Args:
        service: Engine, settings and lifecycle.
        on_ready: Called once, when every model has answered its warm-up.

    Returns:
        The application. Its lifespan starts the engine, which warms the models up behind open doors.
    """

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        warming = asyncio.create_task(_warm_up(service, on_ready))
        yield
        warming.cancel()
        service.engine.stop()

    app = FastAPI(
        title="mcdrop",
        description=ABOUT,
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
        exception_handlers={HTTPException: refused_by_router},
    )
    direct = Direct(app, (router, open_inference.router), root_path=service.settings.root_path)
    return _guarded(direct, service)


def _guarded(app: ASGIApp, service: Service) -> ASGIApp:
    """With what a request passes on its way in, the innermost first."""
    if service.keys:
        app = Gate(app, service.keys, root_path=service.settings.root_path)
    if service.settings.cors_origins:
        app = CORSMiddleware(
            app,
            allow_origins=service.settings.cors_origins,
            allow_methods=("GET", "POST"),
            allow_headers=("authorization", "content-type", JSON_LENGTH, "traceparent", "x-api-key"),
            expose_headers=("x-request-id", "retry-after", JSON_LENGTH),
        )
    return Watch(Shield(app), service)


async def _warm_up(service: Service, on_ready: Callable[[], None]) -> None:
    """Serve once every model has answered; a model that cannot stops the process."""
    try:
        await service.engine.start()
    except Exception as error:
        logger.exception("a model failed its warm-up")
        service.lifecycle.fail(f"a model failed its warm-up: {error}")
    else:
        service.lifecycle.serve()
        logger.info("ready", extra={"fields": {"models": list(service.engine.names)}})
        on_ready()
