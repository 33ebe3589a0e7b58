"""The routes of the Open Inference Protocol, version 2, over REST; Triton, KServe and MLServer speak it.

Source:
    https://github.com/kserve/open-inference-protocol, and the extensions binary tensor data, statistics,
    parameters and schedule policy as Triton documents them.
"""

from fastapi import APIRouter, Request, Response

from mcdrop_service import __version__
from mcdrop_service.web import openapi_inference as openapi
from mcdrop_service.web.answers import document_response
from mcdrop_service.web.asking import ask
from mcdrop_service.web.headers import headers_of
from mcdrop_service.web.inference_form import form_of
from mcdrop_service.web.metadata import inference_metadata, repository_index
from mcdrop_service.web.repository_body import only_ready
from mcdrop_service.web.watch import service_of

__all__ = ["router"]

EXTENSIONS = ("binary_tensor_data", "statistics", "parameters", "schedule_policy")

router = APIRouter()


@router.get("/v2", **openapi.SERVER)
@router.get("/v2/", include_in_schema=False)
async def server(request: Request) -> Response:
    """Name, version and extensions of this server."""
    managed = service_of(request).settings.management_port is not None
    extensions = [*EXTENSIONS, *(("model_repository",) if managed else ())]
    return document_response({"name": "mcdrop", "version": __version__, "extensions": extensions})


@router.get("/v2/health/live", **openapi.LIVE)
async def live(_request: Request) -> Response:
    """Whether the process lives."""
    return document_response({"live": True})


@router.get("/v2/health/ready", **openapi.READY)
async def ready(request: Request) -> Response:
    """Whether every model can be asked: 200 or 503."""
    is_ready = service_of(request).ready
    return document_response({"ready": is_ready, "live": True}, 200 if is_ready else 503)


@router.get("/v2/models", **openapi.MODELS)
async def models(request: Request) -> Response:
    """The names of all models."""
    return document_response({"models": list(service_of(request).engine.names)})


@router.get("/v2/models/stats", **openapi.ALL_STATS)
async def all_stats(request: Request) -> Response:
    """Counts and times of every version of every model."""
    return _stats(request, [(facts.name, facts.version) for facts in service_of(request).engine.served])


@router.get("/v2/models/{name}", **openapi.MODEL)
async def model(request: Request, name: str) -> Response:
    """What the highest version of a model takes and gives."""
    return _metadata(request, name, None)


@router.get("/v2/models/{name}/versions/{version}", **openapi.MODEL)
async def model_version(request: Request, name: str, version: str) -> Response:
    """What a version of a model takes and gives."""
    return _metadata(request, name, version)


@router.get("/v2/models/{name}/ready", **openapi.MODEL_READY)
async def model_ready(request: Request, name: str) -> Response:
    """Whether a model can be asked."""
    return _readiness(request, name, None)


@router.get("/v2/models/{name}/versions/{version}/ready", **openapi.MODEL_READY)
async def version_ready(request: Request, name: str, version: str) -> Response:
    """Whether a version of a model can be asked."""
    return _readiness(request, name, version)


@router.get("/v2/models/{name}/stats", **openapi.STATS)
async def model_stats(request: Request, name: str) -> Response:
    """Counts and times of every version of a model."""
    return _stats(request, [(name, version) for version in service_of(request).engine.versions(name)])


@router.get("/v2/models/{name}/versions/{version}/stats", **openapi.STATS)
async def version_stats(request: Request, name: str, version: str) -> Response:
    """Counts and times of a version of a model."""
    facts = service_of(request).engine.facts(name, version)
    return _stats(request, [(facts.name, facts.version)])


@router.post("/v2/models/{name}/infer", **openapi.INFER)
async def infer(request: Request, name: str) -> Response:
    """A predictive distribution for each row, from the highest version of a model."""
    served = service_of(request).engine.find(name)
    return await ask(request, served, form_of(headers_of(request)))


@router.post("/v2/models/{name}/versions/{version}/infer", **openapi.INFER)
async def infer_version(request: Request, name: str, version: str) -> Response:
    """A predictive distribution for each row, from a version of a model."""
    served = service_of(request).engine.find(name, version)
    return await ask(request, served, form_of(headers_of(request)))


@router.post("/v2/repository/index", **openapi.INDEX)
async def index(request: Request) -> Response:
    """Every version of every model, and whether it is ready."""
    document = await repository_index(service_of(request), only_ready=await only_ready(request))
    return document_response(document)


def _metadata(request: Request, name: str, version: str | None) -> Response:
    service = service_of(request)
    facts = service.engine.facts(name, version)
    return document_response(inference_metadata(facts, service.engine.versions(name), service.settings))


def _readiness(request: Request, name: str, version: str | None) -> Response:
    service = service_of(request)
    facts = service.engine.facts(name, version)
    is_ready = (
        service.serving and service.engine.working and (facts.name, facts.version) not in service.engine.unfit
    )
    return document_response({"name": facts.name, "ready": is_ready}, 200 if is_ready else 503)


def _stats(request: Request, models: list[tuple[str, str]]) -> Response:
    return document_response({"model_stats": service_of(request).journal.statistics(models)})
