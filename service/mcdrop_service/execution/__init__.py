"""The one room that owns torch: loads checkpoints, and runs them in a thread of its own."""

from mcdrop_service.execution.catalogue import Served
from mcdrop_service.execution.engine import Engine
from mcdrop_service.execution.reloading import Reloader
from mcdrop_service.execution.repository import Repository
from mcdrop_service.execution.servable import Lane, Servable, Task

__all__ = ["Engine", "Lane", "Reloader", "Repository", "Servable", "Served", "Task"]
