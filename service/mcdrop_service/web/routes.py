"""The routes, a few lines each: what they do is done in other rooms."""

import asyncio
import time
from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import APIRouter, Request, Response

from mcdrop_service import facts as plain
from mcdrop_service.encoding import encode_answer, encode_document
from mcdrop_service.parsing import RequestLimits, parse_prediction
from mcdrop_service.settings import Settings
from mcdrop_service.web import openapi
from mcdrop_service.web.answers import json_response
from mcdrop_service.web.body import check_media_type, read_body
from mcdrop_service.web.disconnect import while_connected
from mcdrop_service.web.docs_page import docs_page
from mcdrop_service.web.lifecycle import Phase
from mcdrop_service.web.metadata import model_document
from mcdrop_service.web.service import Service

__all__ = ["router"]

T = TypeVar("T")

# Above this, parsing and encoding leave the event loop free by going to a thread.
LARGE = 100_000

router = APIRouter()


def _service(request: Request) -> Service:
    service: Service = request.app.state.service
    return service


@router.get("/healthz", **openapi.HEALTH)
async def healthz() -> Response:
    """Whether the process lives. Says nothing about the models."""
    return json_response(encode_document({"live": True}))


@router.get("/readyz", **openapi.READY)
async def readyz(request: Request) -> Response:
    """Whether every model has answered a warm-up, and the process is not stopping: 200 or 503."""
    service = _service(request)
    phase = service.lifecycle.phase
    ready = phase is Phase.SERVING and service.engine.ready
    return json_response(encode_document({"ready": ready, "state": phase.value}), 200 if ready else 503)


@router.get("/v1/models", **openapi.MODELS)
async def models(request: Request) -> Response:
    """The names of all models."""
    return json_response(encode_document({"models": list(_service(request).engine.names)}))


@router.get("/v1/models/{name}", **openapi.MODEL)
async def model(name: str, request: Request) -> Response:
    """What a model takes and gives, its classes, its sampling defaults and its fingerprint."""
    service = _service(request)
    return json_response(encode_document(model_document(service.engine.facts(name), service.settings)))


@router.post("/v1/models/{name}/predict", **openapi.PREDICT)
async def predict(name: str, request: Request) -> Response:
    """A predictive distribution for each row: mean, spread, and where the uncertainty comes from."""
    service = _service(request)
    facts = service.engine.facts(name)
    check_media_type(request.headers)
    deadline_s = time.monotonic() + service.settings.request_timeout_ms / 1000
    with service.memory.account() as account:
        body = await read_body(request.headers, request.receive, service.settings, account)
        return json_response(
            await while_connected(request.receive, _answer(service, facts, body, deadline_s))
        )


@router.get("/docs", include_in_schema=False)
async def docs(request: Request) -> Response:
    """This page: made from the OpenAPI document, without a script and without the internet."""
    return docs_page(request.app.openapi())


async def _answer(service: Service, facts: plain.ModelFacts, body: bytes, deadline_s: float) -> bytes:
    """Parse, run and encode."""
    asked = await _aside(len(body), parse_prediction, body, facts, _limits(service.settings))
    answer = await service.engine.predict(facts, asked, deadline_s)
    return await _aside(sum(array.size for array in answer.outputs.values()), encode_answer, answer)


def _limits(settings: Settings) -> RequestLimits:
    return RequestLimits(settings.max_n_samples, settings.max_request_units, settings.max_quantiles)


async def _aside(size: int, function: Callable[..., T], *args: Any) -> T:
    """Call a function in a thread when the work is large, else here: a hop costs more than small work."""
    return await asyncio.to_thread(function, *args) if size > LARGE else function(*args)
