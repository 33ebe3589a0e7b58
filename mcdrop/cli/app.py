"""`mcdrop`: the entry point, its exit codes, and what it does before torch is imported.

Exit codes: 0 done, 1 a check that the user asked for failed, 2 bad usage or input. Commands raise; here
every error that is raised on purpose becomes one line.
"""

import os
import sys
from collections.abc import Sequence
from typing import Annotated, Final, NoReturn

import typer

from mcdrop import __version__
from mcdrop.cli.commands import Commands
from mcdrop.cli.streams import let_readers_leave
from mcdrop.errors import McdropError

__all__ = ["app", "main"]

BAD_INPUT: Final = 2

app = typer.Typer(name="mcdrop", cls=Commands, no_args_is_help=True, pretty_exceptions_enable=False)


def _show_version(wanted: bool) -> None:  # noqa: FBT001  typer calls it with the flag
    if wanted:
        typer.echo(f"mcdrop {__version__}")
        raise typer.Exit


@app.callback()
def _mcdrop(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    """Know when your network doesn't know: uncertainty by Monte Carlo dropout.

    Exit codes: 0 done, 1 a check that you asked for failed, 2 bad usage or input.
    """


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line and end the process.

    Args:
        arguments: By default those of the process.
    """
    # MKL reads it once, when torch loads it: then a row's sums have the same bits whatever its neighbours.
    os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")
    let_readers_leave()
    try:
        app(args=arguments, prog_name="mcdrop")
    except McdropError as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{error.filename or 'the output'}: {error.strerror or error}")
    sys.exit(0)


def _fail(reason: str) -> NoReturn:
    typer.echo(f"error: {reason}", err=True)
    sys.exit(BAD_INPUT)
