"""What is noted of one request on its way through the rooms; read at its end for the log and the metrics."""

from collections.abc import Mapping
from dataclasses import dataclass

from mcdrop_service.facts import Array

__all__ = ["Notes"]


@dataclass(slots=True)
class Notes:
    """Each room writes what it knows. Points in time are `time.monotonic` seconds; 0 means not reached.

    Attributes:
        request_id: 32 hexadecimal digits, in the log and in the answer's headers.
        arrived_s: When the head had arrived.
        model: Name of the model, once it is known to exist; else empty.
        version: Its version.
        rows: N.
        n_samples: S, or what a row may take at most.
        passes: Samples of all rows together that were answered.
        parsed_s: When the request was understood.
        parsing_s: How long that took, without waiting for the body.
        started_s: When its first unit of work began.
        computed_s: When its last unit was done.
        answered_s: When its answer was made.
        outputs: What it was answered, before that is written.
        numbers: How many these are.
        rejected: Why it was turned away, in a word for the metrics; else empty.
        refusal: The words with which it was refused, for the log; else empty.
        status: Of the answer, once its head is sent; 0 before.
        gone: Whether the client went away before its answer.
    """

    request_id: str = ""
    arrived_s: float = 0.0
    model: str = ""
    version: str = ""
    rows: int = 0
    n_samples: int = 0
    passes: int = 0
    parsed_s: float = 0.0
    parsing_s: float = 0.0
    started_s: float = 0.0
    computed_s: float = 0.0
    answered_s: float = 0.0
    outputs: Mapping[str, Array] | None = None
    numbers: int = 0
    rejected: str = ""
    refusal: str = ""
    status: int = 0
    gone: bool = False

    @property
    def queued_s(self) -> float:
        """How long it waited for its first unit of work; 0 if none began."""
        return max(self.started_s - self.parsed_s, 0.0) if self.started_s else 0.0

    @property
    def computing_s(self) -> float:
        """From the first unit of work to the answer; 0 if there is none."""
        return max(self.answered_s - self.started_s, 0.0) if self.answered_s else 0.0
