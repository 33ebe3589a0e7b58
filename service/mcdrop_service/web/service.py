"""What the routes work with: made once, passed in."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from mcdrop_service.execution import Engine, Servable
from mcdrop_service.scheduler import QueueLimits
from mcdrop_service.settings import Settings
from mcdrop_service.web.lifecycle import Lifecycle
from mcdrop_service.web.memory import MemoryBudget

__all__ = ["Service"]


@dataclass(frozen=True)
class Service:
    """Everything that lives as long as the process.

    Attributes:
        engine: Answers predictions.
        settings: Limits.
        lifecycle: Whether the process is starting, serving or draining.
        memory: What the bodies of all requests take.
    """

    engine: Engine
    settings: Settings
    lifecycle: Lifecycle
    memory: MemoryBudget

    @classmethod
    def of(cls, models: Mapping[str, Servable], settings: Settings) -> Self:
        """A service that was not started yet.

        Args:
            models: What to serve, by name.
            settings: Limits.

        Returns:
            The service.
        """
        limits = QueueLimits(settings.max_queue_units, settings.max_queue_bytes)
        memory = MemoryBudget(settings.max_body_bytes_in_flight)
        return cls(Engine(models, limits), settings, Lifecycle(), memory)
