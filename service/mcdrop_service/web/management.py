"""The management port: loading and unloading models, for those who have its token."""

from collections.abc import Collection

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from mcdrop_service.errors import BadRequestError, NotReadyError
from mcdrop_service.execution import Reloader
from mcdrop_service.web.answers import document_response, refused_by_router
from mcdrop_service.web.direct import Direct
from mcdrop_service.web.keys import Gate
from mcdrop_service.web.open_inference import index
from mcdrop_service.web.repository_body import small_object
from mcdrop_service.web.service import Service
from mcdrop_service.web.shield import Shield
from mcdrop_service.web.watch import Watch, service_of

__all__ = ["create_management_app"]

router = APIRouter()


def create_management_app(service: Service, token: Collection[bytes]) -> ASGIApp:
    """The management port as an ASGI application.

    Args:
        service: Its models are managed.
        token: Hash of the only token.

    Returns:
        The application; nothing in it is open.
    """
    app = FastAPI(
        title="mcdrop management",
        openapi_url=None,
        redirect_slashes=False,
        exception_handlers={HTTPException: refused_by_router},
    )
    return Watch(Shield(Gate(Direct(app, [router]), token, open_paths=())), service)


router.post("/v2/repository/index")(index)


@router.post("/v2/repository/models/{name}/load")
async def load(request: Request, name: str) -> Response:
    """Read a model anew; the old one serves until the new one has answered its warm-up."""
    await (await _reloader(request)).load(name)
    return document_response({})


@router.post("/v2/repository/models/{name}/unload")
async def unload(request: Request, name: str) -> Response:
    """Serve a model no longer."""
    await (await _reloader(request)).unload(name)
    return document_response({})


async def _reloader(request: Request) -> Reloader:
    """Of a service that has one and is serving; the body may hold no parameters that change a model."""
    parameters = (await small_object(request)).get("parameters") or {}
    if not isinstance(parameters, dict) or set(parameters) - {"unload_dependents"}:
        raise BadRequestError("no parameters are taken: a model is what its checkpoint says")
    service = service_of(request)
    if service.reloader is None or not service.serving:
        raise NotReadyError(
            "models can be loaded once the service is ready, and until it stops", retry_after_s=1
        )
    return service.reloader
