"""Every setting as an option of the command line, written down once: in `Settings`."""

import inspect
from collections.abc import Callable
from typing import Annotated, Any, Final

import typer
from pydantic.fields import FieldInfo

from mcdrop_service.settings import Settings

__all__ = ["with_settings"]

PANEL: Final = "Settings: by flag, by environment variable MCDROP_NAME, or in the file of --config"


def with_settings(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes each setting as an option, and gets those that were given as keyword arguments.

    Args:
        command: Its own parameters, then `**settings`.

    Returns:
        The command, with the signature that typer reads.
    """
    own = [
        each
        for each in inspect.signature(command).parameters.values()
        if each.kind is not inspect.Parameter.VAR_KEYWORD
    ]
    options = [_option(name, field) for name, field in Settings.model_fields.items()]
    command.__signature__ = inspect.Signature([*own, *options])  # type: ignore[attr-defined]
    return command


def _option(name: str, field: FieldInfo) -> inspect.Parameter:
    """Text that pydantic reads: what is wrong with it is said in the same words wherever it came from."""
    default = None if field.default_factory else field.default
    told = "" if default in (None, "", ()) else f" Default {default}."
    option = typer.Option(
        help=f"{(field.description or '').replace('`', '')}{told}",
        metavar="N" if isinstance(field.default, int) else "TEXT",
        rich_help_panel=PANEL,
        show_default=False,
    )
    annotation: Any = Annotated[str | None, option]
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=annotation)
