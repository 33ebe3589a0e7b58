"""Whether the process is starting, serving, draining or failed: the one mutable state of the web room."""

from enum import Enum

__all__ = ["Lifecycle", "Phase"]


class Phase(Enum):
    """What the process is doing; the value is what `/readyz` says of it."""

    STARTING = "starting"
    SERVING = "ready"
    DRAINING = "draining"
    FAILED = "failed"


class Lifecycle:
    """The phase, which only moves forward."""

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.failure: str | None = None

    @property
    def stays(self) -> bool:
        """Whether the process is not about to end."""
        return self.phase in {Phase.STARTING, Phase.SERVING}

    def serve(self) -> None:
        """Every model is warm; has no effect once draining began."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING

    def drain(self) -> None:
        """Readiness goes off; requests are still answered."""
        if self.phase is not Phase.FAILED:
            self.phase = Phase.DRAINING

    def fail(self, reason: str) -> None:
        """A model cannot be served: the process stops, since it serves all or nothing.

        Args:
            reason: What to tell the operator.
        """
        self.phase = Phase.FAILED
        self.failure = reason
