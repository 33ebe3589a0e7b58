"""How far a prediction has come, for whoever asked: a function of theirs, or a bar in the terminal."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from mcdrop.errors import InputError
from mcdrop.extras import require

__all__ = ["Progress", "Tell", "following"]

Tell = Callable[[int, int | None], object]
"""Called with what is done and what there is to do (None if unknown), both in rows x samples."""


class Progress:
    """Counts passes, one for each row and sample.

    Args:
        tell: Called after every step.
        total: How many there are; None if that is not known.
    """

    def __init__(self, tell: Tell | None = None, total: int | None = None) -> None:
        self._tell = tell
        self._total = total
        self.done = 0

    def advance(self, passes: int) -> None:
        """So many more are done."""
        self.done += passes
        if self._tell is not None:
            self._tell(self.done, self._total)


@contextmanager
def following(progress: bool | Tell | None, total: int | None) -> Iterator[Progress]:  # noqa: FBT001
    """Progress that is told to whoever asked.

    Args:
        progress: True for a bar on standard error, a function, or None (or False) for nobody.
        total: How many passes there are; None if that is not known.

    Raises:
        InputError: If it is something else.
    """
    if progress is True:
        with _bar(total) as tell:
            yield Progress(tell, total)
    elif progress is None or progress is False:
        yield Progress()
    else:
        yield Progress(_checked(progress), total)


def _checked(progress: object) -> Tell:
    if not callable(progress):
        came = type(progress).__name__
        raise InputError(f"progress must be a function of (done, total), or True for a bar, got a {came}")
    return progress


@contextmanager
def _bar(total: int | None) -> Iterator[Tell]:
    """A bar on standard error, which is gone when the work is done."""
    rich: Any = require("rich.progress")
    console: Any = require("rich.console").Console(stderr=True)
    columns = (
        rich.TextColumn("sampling"),
        rich.BarColumn(),
        rich.TaskProgressColumn(),
        rich.TimeRemainingColumn(),
    )
    with rich.Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task("sampling", total=total)
        yield lambda done, _total: shown.update(task, completed=done)
