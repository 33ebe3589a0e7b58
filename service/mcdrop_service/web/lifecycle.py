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
    """The phase, which only moves forward.

    Attributes:
        phase: What the process is doing.
        stopping: Whether it is about to end; looked at for each request, which a comparison of phases slows.
        failure: Why it failed, if it did.
    """

    def __init__(self) -> None:
        self.phase = Phase.STARTING
        self.stopping = False
        self.failure: str | None = None

    def serve(self) -> None:
        """Every model is warm; has no effect once draining began."""
        if self.phase is Phase.STARTING:
            self.phase = Phase.SERVING

    def drain(self) -> None:
        """Readiness goes off; requests are still answered."""
        self.stopping = True
        if self.phase is not Phase.FAILED:
            self.phase = Phase.DRAINING

    def fail(self, reason: str) -> None:
        """A model cannot be served: the process stops, since it serves all or nothing.

        Args:
            reason: What to tell the operator.
        """
        self.stopping = True
        self.phase = Phase.FAILED
        self.failure = reason
