"""What is noted of a request or a batch that ended."""

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple, TypeVar

from mcdrop_service.telemetry.notes import Notes

__all__ = ["CLIENT_GONE", "EndedBatch", "EndedRequest", "Model", "by_model"]

OK: Final = 200
CLIENT_GONE: Final = 499
"""What nobody was sent: the client went away before its answer."""
Model = tuple[str, str]
"""Name and version."""


class EndedRequest(NamedTuple):
    """A request that ended.

    Attributes:
        notes: Of it.
        status: HTTP status; 499 if the client went away.
        seconds: From arrival to the end.
        predicts: Whether a prediction was asked.
    """

    notes: Notes
    status: int
    seconds: float
    predicts: bool

    @property
    def model(self) -> Model:
        """Name and version; the name is empty if it was none that is known."""
        return self.notes.model, self.notes.version

    @property
    def answered(self) -> bool:
        """Whether with what was asked."""
        return self.status == OK

    @property
    def ended_s(self) -> float:
        """When, in `time.monotonic` seconds."""
        return self.notes.arrived_s + self.seconds


class EndedBatch(NamedTuple):
    """A batch that was computed.

    Attributes:
        model: Of it.
        units: That it held; a unit is one row times one block of 16 samples.
        share: How much of the batch that is, from 0 to 1.
        seconds: It took.
    """

    model: Model
    units: int
    share: float
    seconds: float


T = TypeVar("T", EndedBatch, EndedRequest)


def by_model(ended: Iterable[T]) -> Mapping[Model, list[T]]:
    """Those of each model.

    Args:
        ended: In any order, which each keeps.
    """
    found: dict[Model, list[T]] = {}
    for each in ended:
        found.setdefault(each.model, []).append(each)
    return found
