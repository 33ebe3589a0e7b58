"""The routes, a few lines each: what they do is done in other rooms."""

from fastapi import APIRouter, Request, Response

from mcdrop_service.telemetry import METRICS_TYPE, Gauges
from mcdrop_service.web import openapi
from mcdrop_service.web.answers import document_response
from mcdrop_service.web.asking import ask
from mcdrop_service.web.body import check_media_type
from mcdrop_service.web.docs_page import docs_page
from mcdrop_service.web.headers import headers_of
from mcdrop_service.web.metadata import model_document
from mcdrop_service.web.plain_form import PlainForm
from mcdrop_service.web.watch import service_of

__all__ = ["router"]

router = APIRouter()


@router.get("/healthz", **openapi.HEALTH)
async def healthz(_request: Request) -> Response:
    """Whether the process lives. Says nothing about the models."""
    return document_response({"live": True})


@router.get("/readyz", **openapi.READY)
async def readyz(request: Request) -> Response:
    """Whether every model can be asked: 200 or 503, and why."""
    service = service_of(request)
    state, ready = service.state, service.ready
    return document_response({"ready": ready, "state": state}, 200 if ready else 503)


@router.get("/v1/models", **openapi.MODELS)
async def models(request: Request) -> Response:
    """The names of all models."""
    return document_response({"models": list(service_of(request).engine.names)})


@router.get("/v1/models/{name}", **openapi.MODEL)
async def model(request: Request, name: str) -> Response:
    """What a model takes and gives, its classes, its sampling defaults and its fingerprint."""
    service = service_of(request)
    return document_response(model_document(service.engine.facts(name), service.settings))


@router.get("/v1/models/{name}/versions/{version}", **openapi.MODEL)
async def model_version(request: Request, name: str, version: str) -> Response:
    """The same for a version that is not the highest."""
    service = service_of(request)
    return document_response(model_document(service.engine.facts(name, version), service.settings))


@router.post("/v1/models/{name}/predict", **openapi.PREDICT)
async def predict(request: Request, name: str) -> Response:
    """A predictive distribution for each row: mean, spread, and where the uncertainty comes from."""
    served = service_of(request).engine.find(name)
    check_media_type(headers_of(request))
    return await ask(request, served, PlainForm())


@router.get("/metrics", **openapi.METRICS)
async def metrics(request: Request) -> Response:
    """What Prometheus scrapes: traffic, times, the queue, and histograms of the uncertainties."""
    service = service_of(request)
    engine = service.engine
    gauges = Gauges(
        queue_units=engine.waiting_units,
        models=engine.served,
        unfit=engine.unfit,
        worker_up=engine.working,
        worker_busy_s=engine.busy_s,
    )
    return Response(service.journal.metrics_text(gauges), media_type=METRICS_TYPE)


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """This page: made from the OpenAPI document, without a script and without the internet."""
    return docs_page(request.app.openapi())
