"""`mcdrop serve`: the service from the command line."""

import os
import signal
import sys
import tomllib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Annotated, Any, Final, NoReturn, Self

import typer
from pydantic import ValidationError
from pydantic_core import ErrorDetails

from mcdrop.cli.working_directory import look_here
from mcdrop.errors import McdropError
from mcdrop_service import execution
from mcdrop_service.execution import Repository
from mcdrop_service.options import with_settings
from mcdrop_service.settings import Settings, as_toml, read_settings, unread_variables
from mcdrop_service.supervisor import Ports, Report, supervise
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

FAULT: Final = 1
BAD_INPUT: Final = 2
GRACE_S: Final = 10.0
"""What workers get beyond the limits of their drain before they are killed."""


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
    _have_streams()
    settings = _settings(flags, config)
    for name in unread_variables():
        typer.echo(f"warning: {name} is no setting; mcdrop serve --print-config lists all", err=True)
    if print_config:
        typer.echo(as_toml(settings))
        return
    if directory is None:
        _fail("wanted DIR, a directory of checkpoints, got none")
    names = tuple(name.strip() for name in models.split(",") if name.strip())
    if allow_package:
        look_here()
    repository = Repository(directory, names, tuple(allow_package or ()), device, settings.max_mask_bytes)
    repository.chosen()  # what is not there is said now: torch, without which nothing loads, takes its time
    _serve(repository, settings)


def _serve(repository: Repository, settings: Settings) -> NoReturn:
    """Serve until a signal; from several processes if the settings say so."""
    signal.signal(signal.SIGTERM, _end)  # torch takes its time; the first process of a container has no other
    log_as_json(settings.log_level)
    try:
        ports = [_open(settings, *numbers) for numbers in _numbers(settings)]
    except OSError as error:
        _fail(str(error))
    work = partial(_work, repository, settings, _Addresses.of(ports))
    if settings.workers == 1:
        raise typer.Exit(work(ports[0], _say))
    _ = execution.loading  # torch is imported once, and its memory shared by all workers
    bound = [each.numbers for each in ports]
    code = supervise(
        ports,
        work,
        reopen=lambda number: _open(settings, *bound[number]),
        say=_say,
        patience_s=(settings.drain_delay_ms + settings.drain_timeout_ms) / 1000 + GRACE_S,
    )
    raise typer.Exit(code)


def _numbers(settings: Settings) -> Iterator[tuple[int, int | None]]:
    """The port of each worker, and that of its management; 0 stays 0."""
    first, management = settings.port, settings.management_port
    for number in range(settings.workers):
        yield first and first + number, management and management + number


def _open(settings: Settings, port: int, management_port: int | None) -> Ports:
    listener = listening_socket(settings.host, port)
    if management_port is None:
        return Ports(listener)
    return Ports(listener, listening_socket(settings.management_host, management_port))


@dataclass(frozen=True)
class _Addresses:
    """Of all workers."""

    public: tuple[str, ...]
    management: tuple[str, ...]

    @classmethod
    def of(cls, ports: Sequence[Ports]) -> Self:
        """Where bound sockets can be reached."""
        return cls(
            tuple(url_of(each.listener) for each in ports),
            tuple(url_of(each.management) for each in ports if each.management is not None),
        )


def _work(
    repository: Repository, settings: Settings, addresses: _Addresses, ports: Ports, say: Report
) -> int:
    """Serve from this process until a signal; the exit code."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to load anew
    signal.signal(signal.SIGTERM, _end)  # until it serves; a process that was forked has its parent's no more
    if settings.workers > 1:
        log_as_json(settings.log_level, port=ports.numbers[0])
    try:
        keys, token = read_keys(settings.api_keys_file), read_token(settings.management_token_file)
        execution.loading.use_threads(settings.torch_threads)
        service = Service.of(repository.load_all(), settings, repository=repository, keys=keys)
    except OSError as error:
        return _failed(f"{error.filename}: {error.strerror}" if error.filename else str(error))
    except (McdropError, ValueError) as error:
        return _failed(str(error))
    app = create_app(service, on_ready=lambda: say(_greeting(service, addresses, repository)))
    door = None if ports.management is None else Door(create_management_app(service, token), ports.management)
    failure = serve_until_stopped(
        app,
        service=service,
        listener=ports.listener,
        management=door,
        supervised=settings.workers > 1,
    )
    if failure is None:
        return 0
    code = _failed(failure)
    return FAULT if service.engine.died else code


def _end(number: int, _frame: FrameType | None) -> NoReturn:
    raise SystemExit(128 + number)


def _greeting(service: Service, addresses: _Addresses, repository: Repository) -> str:
    models = [service.engine.facts(name) for name in service.engine.names]
    return greeting(
        addresses.public,
        models,
        management_urls=addresses.management,
        asks_for_key=bool(service.keys),
        row_of=repository.example,
    )


def _have_streams() -> None:
    """Let those that were closed lead nowhere: what is opened in their place, libuv refuses to close."""
    for fd in range(3):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # gets the lowest number that is free


def _say(text: str) -> None:
    """Print; a full disk or a closed pipe is no reason not to serve, and none to end with a fault."""
    try:
        typer.echo(text)
    except OSError:
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115  the old one is written out at the very end


def _settings(flags: dict[str, Any], file: Path | None) -> Settings:
    try:
        return read_settings(flags, file)
    except ValidationError as error:
        _fail("; ".join(map(_wrong, error.errors())))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        _fail(f"{file} is not TOML: {error}")


def _wrong(found: ErrorDetails) -> str:
    """What is wrong with a setting, in a line."""
    name, said = ".".join(map(str, found["loc"])), found["msg"].removeprefix("Value error, ")
    if found["type"] == "extra_forbidden":
        return f"there is no setting {name}; mcdrop serve --print-config lists all"
    return f"{name}: {said}, got {found['input']!r}" if name else said


def _failed(reason: str) -> int:
    typer.echo(f"error: {reason}", err=True)
    return BAD_INPUT


def _fail(reason: str) -> NoReturn:
    raise typer.Exit(_failed(reason))
