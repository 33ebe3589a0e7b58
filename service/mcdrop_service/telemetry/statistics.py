"""The statistics of the Open Inference Protocol: counts and nanoseconds of each model's requests and batches.

Source:
    The statistics extension, as Triton documents it.
"""

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mcdrop_service.telemetry.ended import EndedBatch, EndedRequest, Model, by_model

__all__ = ["Statistics"]

STAGES: Final = ("queue", "compute_input", "compute_infer", "compute_output")
NEVER: Final = ("cache_hit", "cache_miss")


@dataclass(slots=True)
class Tally:
    """How often, and how long in all."""

    count: int = 0
    seconds: float = 0.0

    def add(self, seconds: float) -> None:
        """Once more."""
        self.count += 1
        self.seconds += seconds

    def add_all(self, seconds: Sequence[float]) -> None:
        """Several times more."""
        self.count += len(seconds)
        self.seconds += sum(seconds)

    def document(self) -> dict[str, int]:
        """As the protocol has it."""
        return {"count": self.count, "ns": int(self.seconds * 1e9)}


@dataclass(slots=True)
class Record:
    """What one version of a model did.

    Attributes:
        requests: By outcome and by stage.
        batches: By number of units.
        rows: Rows of the requests that were answered.
        latest_ms: When the latest was answered, in milliseconds since 1970; 0 if none was.
    """

    requests: defaultdict[str, Tally] = field(default_factory=lambda: defaultdict(Tally))
    batches: defaultdict[int, Tally] = field(default_factory=lambda: defaultdict(Tally))
    rows: int = 0
    latest_ms: int = 0

    def take(self, requests: Sequence[EndedRequest]) -> None:
        """Some requests ended."""
        answered = [each for each in requests if each.answered]
        for each in requests:
            self.requests["success" if each.answered else "fail"].add(each.seconds)
        if answered:
            for stage, seconds in zip(STAGES, zip(*map(_stages, answered), strict=True), strict=True):
                self.requests[stage].add_all(seconds)
            self.rows += sum([each.notes.rows for each in answered])
            ago_s = time.monotonic() - max([each.ended_s for each in answered])
            self.latest_ms = int((time.time() - ago_s) * 1000)

    def document(self) -> dict[str, object]:
        """As the protocol has it, without name and version."""
        return {
            "last_inference": self.latest_ms,
            "inference_count": self.rows,
            "execution_count": sum(tally.count for tally in self.batches.values()),
            "inference_stats": {
                name: self.requests[name].document() for name in ("success", "fail", *STAGES, *NEVER)
            },
            "batch_stats": [
                {
                    "batch_size": size,
                    "compute_input": Tally().document(),
                    "compute_infer": tally.document(),
                    "compute_output": Tally().document(),
                }
                for size, tally in sorted(self.batches.items())
            ],
        }


class Statistics:
    """Of all models, by name and version."""

    def __init__(self) -> None:
        self._records: defaultdict[Model, Record] = defaultdict(Record)

    def ended(self, requests: Sequence[EndedRequest], batches: Sequence[EndedBatch]) -> None:
        """Some requests and batches ended.

        Args:
            requests: Those that asked for no prediction, or for one of no model, are passed over.
            batches: In any order.
        """
        for model, its_requests in by_model(requests).items():
            if model[0]:
                self._records[model].take([each for each in its_requests if each.predicts])
        for batch in batches:
            self._records[batch.model].batches[batch.units].add(batch.seconds)

    def documents(self, models: Sequence[Model]) -> list[dict[str, object]]:
        """`model_stats` of some models.

        Args:
            models: Name and version of each.
        """
        return [
            {"name": name, "version": version, **self._records[name, version].document()}
            for name, version in models
        ]


def _stages(request: EndedRequest) -> tuple[float, ...]:
    """How long an answered request was at each stage."""
    notes = request.notes
    return (
        notes.queued_s,
        notes.parsing_s,
        notes.computing_s,
        max(request.ended_s - notes.answered_s, 0.0),
    )
