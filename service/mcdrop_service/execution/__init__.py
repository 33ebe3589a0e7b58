"""The one room that owns torch: loads checkpoints, and runs them in a thread of its own.

torch takes longer to import than all else together. So `loading`, which needs it, is imported when it is
first asked for: what is wrong with settings, ports or names is said before, and at once.
"""

from types import ModuleType
from typing import TYPE_CHECKING

from mcdrop_service.execution.catalogue import Served
from mcdrop_service.execution.engine import Engine
from mcdrop_service.execution.reloading import Reloader
from mcdrop_service.execution.repository import Repository
from mcdrop_service.execution.servable import Lane, Servable, Task

if TYPE_CHECKING:
    from mcdrop_service.execution import loading

__all__ = ["Engine", "Lane", "Reloader", "Repository", "Servable", "Served", "Task", "loading"]


def __getattr__(name: str) -> ModuleType:
    if name != "loading":
        raise AttributeError(f"module 'mcdrop_service.execution' has no attribute {name!r}")
    import mcdrop_service.execution.loading as loading  # noqa: PLC0415, PLR0402  `from` would ask here again

    return loading
