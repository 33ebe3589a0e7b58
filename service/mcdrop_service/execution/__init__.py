"""The one room that owns torch: loads checkpoints, and runs them in a thread of its own."""

from mcdrop_service.execution.engine import Engine
from mcdrop_service.execution.repository import load_models
from mcdrop_service.execution.servable import Lane, Servable, Task

__all__ = ["Engine", "Lane", "Servable", "Task", "load_models"]
