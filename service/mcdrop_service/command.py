"""`mcdrop serve`: the service from the command line."""

import tomllib
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NoReturn

import torch
import typer
from pydantic import ValidationError

from mcdrop.errors import McdropError
from mcdrop_service.execution import Repository
from mcdrop_service.options import with_settings
from mcdrop_service.settings import Settings, as_toml, read_settings
from mcdrop_service.telemetry import log_as_json
from mcdrop_service.web import (
    Door,
    Service,
    create_app,
    create_management_app,
    greeting,
    listening_socket,
    read_keys,
    read_token,
    serve_until_stopped,
    url_of,
)

__all__ = ["serve"]

BAD_INPUT = 2


@with_settings
def serve(  # noqa: PLR0917  typer reads options from the signature
    directory: Annotated[
        Path | None, typer.Argument(metavar="DIR", help="Directory of checkpoints, or one checkpoint.")
    ] = None,
    models: Annotated[
        str,
        typer.Option(help="Serve only these, by name, with commas between; digits@1 is version 1 alone."),
    ] = "",
    device: Annotated[
        str | None, typer.Option(envvar="MCDROP_DEVICE", help="Where to run: cpu, cuda, ...")
    ] = None,
    allow_package: Annotated[
        list[str] | None, typer.Option(help="Package whose factories may build models; may be repeated.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(envvar="MCDROP_CONFIG", help="TOML file with settings by name.")
    ] = None,
    print_config: Annotated[  # noqa: FBT002  a flag is what it is
        bool, typer.Option("--print-config", help="Print all settings as such a file, and end.")
    ] = False,
    **flags: Any,
) -> None:
    """Serve checkpoints over HTTP: predictions with their uncertainty."""
    settings = _settings(flags, config)
    if print_config:
        typer.echo(as_toml(settings))
        return
    if directory is None:
        _fail("wanted DIR, a directory of checkpoints, got none")
    log_as_json(settings.log_level)
    torch.set_num_threads(settings.torch_threads)
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    _serve(Repository(directory, names, tuple(allow_package or ()), device), settings)


def _serve(repository: Repository, settings: Settings) -> None:
    try:
        keys, token = read_keys(settings.api_keys_file), read_token(settings.management_token_file)
        service = Service.of(repository.load_all(), settings, repository=repository, keys=keys)
        listener = listening_socket(settings.host, settings.port)
        management = _management(service, token)
    except (McdropError, OSError, ValueError) as error:
        _fail(str(error))
    app = create_app(service, on_ready=partial(_greet, service, url_of(listener), management))
    failure = serve_until_stopped(app, service=service, listener=listener, management=management)
    if failure:
        _fail(failure)


def _management(service: Service, token: tuple[bytes, ...]) -> Door | None:
    """The management port, if the settings name one."""
    settings = service.settings
    if settings.management_port is None:
        return None
    listener = listening_socket(settings.management_host, settings.management_port)
    return Door(create_management_app(service, token), listener)


def _settings(flags: dict[str, Any], file: Path | None) -> Settings:
    try:
        return read_settings(flags, file)
    except ValidationError as error:
        _fail("; ".join(f"{'.'.join(map(str, its['loc']))}: {its['msg']}" for its in error.errors()))
    except tomllib.TOMLDecodeError as error:
        _fail(f"{file} is not TOML: {error}")


def _greet(service: Service, url: str, management: Door | None) -> None:
    models = [service.engine.facts(name) for name in service.engine.names]
    managed_at = None if management is None else url_of(management.listener)
    typer.echo(greeting(url, models, management_url=managed_at))


def _fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    raise typer.Exit(BAD_INPUT)
