"""Our service, and a route that answers with a constant: `python -m benchmarks.servers.ours DIR PORT`.

A constant goes the way of a prediction through the same HTTP stack; its body is read and thrown away.
"""

import sys
from pathlib import Path
from typing import Final

import torch
from fastapi import APIRouter, FastAPI, Request, Response
from mcdrop_service.execution import Repository
from mcdrop_service.settings import Settings
from mcdrop_service.telemetry import log_as_json
from mcdrop_service.web import Service, create_app, listening_socket, serve_until_stopped, url_of
from mcdrop_service.web.answers import JsonResponse
from mcdrop_service.web.body import read_body
from mcdrop_service.web.direct import Direct
from mcdrop_service.web.shield import Shield
from mcdrop_service.web.watch import Watch, service_of
from starlette.types import Receive, Scope, Send

CONSTANT: Final = b'{"outputs":' + b" " * 700 + b"0}"
"""About as long as an answer."""

router = APIRouter()


@router.post("/constant", response_model=None)
async def constant(request: Request) -> Response:
    """The same for every body."""
    service = service_of(request)
    with service.memory.account() as account:
        await read_body(request, service, account)
    return JsonResponse(CONSTANT)


def main() -> None:
    """Serve the checkpoints of a directory until a signal comes."""
    settings = Settings(port=int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    log_as_json(settings.log_level)
    torch.set_num_threads(settings.torch_threads)
    repository = Repository(Path(sys.argv[1]), (), ("benchmarks",), None)
    service = Service.of(repository.load_all(), settings, repository=repository)
    listener = listening_socket(settings.host, settings.port)
    ours = create_app(service, on_ready=lambda: print(url_of(listener), "\n", flush=True))
    beside = FastAPI()
    constants = Watch(Shield(Direct(beside, [router])), service)

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await (constants if scope.get("path") == "/constant" else ours)(scope, receive, send)

    sys.exit(serve_until_stopped(app, service=service, listener=listener))


if __name__ == "__main__":
    main()
