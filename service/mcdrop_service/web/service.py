"""What the routes work with: made once, passed in."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from mcdrop_service.execution import Engine, Reloader, Repository, Servable
from mcdrop_service.parsing import RequestLimits
from mcdrop_service.scheduler import QueueLimits
from mcdrop_service.settings import Settings
from mcdrop_service.telemetry import Journal, Metrics, Statistics
from mcdrop_service.web.lifecycle import Lifecycle, Phase
from mcdrop_service.web.memory import MemoryBudget
from mcdrop_service.web.patience import Patience

__all__ = ["Service"]


@dataclass(frozen=True)
class Service:
    """Everything that lives as long as the process.

    Attributes:
        engine: Answers predictions.
        settings: Limits.
        lifecycle: Whether the process is starting, serving or draining.
        memory: What the bodies of all requests take.
        body_patience: For bodies that are on their way.
        request_limits: Of one request.
        metrics: For Prometheus.
        journal: Of requests and batches; tells metrics and statistics.
        keys: Hashes of the API keys; without any, everyone may ask.
        reloader: Loads models while the service runs; None if they came from no repository.
    """

    engine: Engine
    settings: Settings
    lifecycle: Lifecycle
    memory: MemoryBudget
    body_patience: Patience
    request_limits: RequestLimits
    metrics: Metrics
    journal: Journal
    keys: tuple[bytes, ...] = ()
    reloader: Reloader | None = None

    @classmethod
    def of(
        cls,
        models: Mapping[str, Sequence[Servable]],
        settings: Settings,
        *,
        repository: Repository | None = None,
        keys: tuple[bytes, ...] = (),
    ) -> Self:
        """A service that was not started yet.

        Args:
            models: What to serve: the versions of each model, by its name.
            settings: Limits.
            repository: Where the models came from, if they can be loaded again.
            keys: Hashes of the API keys.

        Returns:
            The service.
        """
        metrics = Metrics()
        journal = Journal(metrics, Statistics())

        limits = QueueLimits(settings.max_queue_units, settings.max_queue_bytes)
        engine = Engine(
            models,
            limits,
            journal.batch_ended,
            bitwise=settings.batch_invariance == "bitwise",
            stall_s=settings.stall_timeout_ms / 1000,
        )
        return cls(
            engine=engine,
            settings=settings,
            lifecycle=Lifecycle(),
            memory=MemoryBudget(settings.max_body_bytes_in_flight),
            body_patience=Patience(settings.body_timeout_ms / 1000),
            request_limits=_request_limits(settings),
            metrics=metrics,
            journal=journal,
            keys=keys,
            reloader=None if repository is None else Reloader(engine, repository, metrics.loaded),
        )

    @property
    def serving(self) -> bool:
        """Whether the process has started and is not stopping."""
        return self.lifecycle.phase is Phase.SERVING

    @property
    def ready(self) -> bool:
        """Whether every model can be asked."""
        return self.state == Phase.SERVING.value

    @property
    def state(self) -> str:
        """In a word: the phase; while it serves `ready`, or `stalled`, `failing` or `empty`."""
        if not self.serving:
            return self.lifecycle.phase.value
        if not self.engine.working:
            return "stalled"
        if not self.engine.names:
            return "empty"
        return "failing" if self.engine.unfit else Phase.SERVING.value


def _request_limits(settings: Settings) -> RequestLimits:
    # what the queue could not hold even if it were empty is too large: asking again would not help
    max_units = min(settings.max_request_units, settings.max_queue_units)
    return RequestLimits(settings.max_n_samples, max_units, settings.max_quantiles)
