"""Which commands there are, and how one is loaded when it is run.

`mcdrop --help` has to answer at once, and torch takes seconds to import. So this is the one place of the
command line that imports by name: a command's module is imported when the command is made ready to run, not
when it is listed. Other packages add commands by the entry-point group `mcdrop.commands`; each names a
function with typer's annotations.
"""

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup

from mcdrop.errors import MissingExtraError

__all__ = ["GROUP", "Commands"]

GROUP: Final = "mcdrop.commands"

_OURS: Final = {
    "inspect": "Show what a model is, what in it is random, and what is wrong.",
    "predict": "Predict the rows of a data file, with their uncertainty.",
    "report": "Score predictions against outcomes; check limits.",
    "calibrate": "Fit calibrators on held-out rows, in a new version of the checkpoint.",
    "pack": "Make a checkpoint of the weights in a .pt or .ckpt file.",
}
_SERVE: Final = "Serve checkpoints over HTTP."


class LazyCommand(TyperCommand):
    """A command that is known by name and summary, and imported when it is called.

    Args:
        name: Of the command.
        summary: One line for the list of commands.
        load: Gives the function behind it.
    """

    def __init__(self, name: str, summary: str, load: Callable[[], Callable[..., Any]]) -> None:
        super().__init__(name, help=summary)
        self._load = load

    def make_context(self, info_name: str | None, args: list[str], parent: Any = None, **extra: Any) -> Any:
        """Import the command and let it read its arguments; what runs afterwards is the imported one."""
        return _command(str(self.name), self._load()).make_context(info_name, args, parent, **extra)


class Commands(TyperGroup):
    """Our own commands and those of installed packages."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  typer's signature
        """Ours in the order of their use, then the others."""
        return [*_OURS, *sorted({"serve", *_plugins()} - set(_OURS))]

    def get_command(self, ctx: Any, cmd_name: str) -> LazyCommand | None:  # noqa: ARG002  typer's signature
        """The command of that name, not imported yet; None if there is none."""
        if cmd_name in _OURS:
            return LazyCommand(cmd_name, _OURS[cmd_name], lambda: _own(cmd_name))
        plugin = _plugins().get(cmd_name)
        if plugin is None and cmd_name != "serve":
            return None
        summary = _SERVE if cmd_name == "serve" else f"From {plugin.value if plugin else cmd_name}."
        return LazyCommand(cmd_name, summary, lambda: _loaded(cmd_name, plugin))


def _plugins() -> dict[str, EntryPoint]:
    return {entry.name: entry for entry in entry_points(group=GROUP)}


def _own(name: str) -> Callable[..., Any]:
    function: Callable[..., Any] = import_module(f"mcdrop.cli.{name}").command
    return function


def _loaded(name: str, plugin: EntryPoint | None) -> Callable[..., Any]:
    todo = f"install it with: pip install 'mcdrop[{name}]'"
    if plugin is None:
        raise MissingExtraError(f"the command {name} is not installed; {todo}")
    try:
        function: Callable[..., Any] = plugin.load()
    except ImportError as error:
        raise MissingExtraError(f"the command {name} cannot be loaded ({error}); {todo}") from error
    return function


def _command(name: str, function: Callable[..., Any]) -> Any:
    single = typer.Typer(add_completion=False)
    single.command(name)(function)
    return typer.main.get_command(single)
