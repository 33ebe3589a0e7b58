"""`mcdrop serve`: the service from the command line."""

from functools import partial
from pathlib import Path
from typing import Annotated, NoReturn

import torch
import typer
from pydantic import ValidationError

from mcdrop.errors import McdropError
from mcdrop_service.execution import load_models
from mcdrop_service.settings import Settings
from mcdrop_service.web import (
    Service,
    create_app,
    greeting,
    listening_socket,
    serve_until_stopped,
    url_of,
)

__all__ = ["serve"]

BAD_INPUT = 2


def serve(  # noqa: PLR0917  typer reads options from the signature
    directory: Annotated[
        Path, typer.Argument(metavar="DIR", help="Directory of checkpoints, or one checkpoint.")
    ],
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on; 0 takes a free one.")] = None,
    models: Annotated[str, typer.Option(help="Serve only these, by name, with commas between.")] = "",
    device: Annotated[
        str | None, typer.Option(envvar="MCDROP_DEVICE", help="Where to run: cpu, cuda, ...")
    ] = None,
    allow_package: Annotated[
        list[str] | None, typer.Option(help="Package whose factories may build models; may be repeated.")
    ] = None,
) -> None:
    """Serve checkpoints over HTTP: predictions with their uncertainty."""
    settings = _settings(host=host, port=port)
    torch.set_num_threads(settings.torch_threads)
    names = [name.strip() for name in models.split(",") if name.strip()]
    try:
        loaded = load_models(directory, names=names, allow=allow_package or (), device=device)
        listener = listening_socket(settings.host, settings.port)
    except (McdropError, OSError) as error:
        _fail(str(error))
    service = Service.of(loaded, settings)
    app = create_app(service, on_ready=partial(_greet, service, url_of(listener)))
    failure = serve_until_stopped(app, lifecycle=service.lifecycle, settings=settings, listener=listener)
    if failure:
        _fail(failure)


def _settings(**flags: str | int | None) -> Settings:
    """Flags first, then environment variables, then defaults."""
    try:
        return Settings.model_validate({name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        _fail("; ".join(f"{detail['loc'][0]}: {detail['msg']}" for detail in error.errors()))


def _greet(service: Service, url: str) -> None:
    typer.echo(greeting(url, [service.engine.facts(name) for name in service.engine.names]))


def _fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(BAD_INPUT)
