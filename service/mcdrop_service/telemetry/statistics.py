"""The statistics of the Open Inference Protocol: counts and nanoseconds of each model's requests and batches.

Source:
    The statistics extension, as Triton documents it.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from mcdrop_service.telemetry.notes import Notes

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
    """Safe to share between threads."""

    def __init__(self) -> None:
        self._records: defaultdict[tuple[str, str], Record] = defaultdict(Record)
        self._lock = threading.Lock()

    def batch_ended(self, model: str, version: str, units: int, seconds: float) -> None:
        """A batch was computed.

        Args:
            model: Name.
            version: Of it.
            units: That it held; a unit is one row times one block of 16 samples.
            seconds: It took.
        """
        with self._lock:
            self._records[model, version].batches[units].add(seconds)

    def request_ended(self, notes: Notes, *, answered: bool, seconds: float) -> None:
        """A request to a known model ended.

        Args:
            notes: Of it.
            answered: Whether with a prediction.
            seconds: From arrival to the end.
        """
        with self._lock:
            record = self._records[notes.model, notes.version]
            record.requests["success" if answered else "fail"].add(seconds)
            if answered:
                self._add_stages(record, notes, seconds)

    def _add_stages(self, record: Record, notes: Notes, seconds: float) -> None:
        sending_s = max(notes.arrived_s + seconds - notes.answered_s, 0.0)
        stages = (notes.queued_s, notes.parsing_s, notes.computing_s, sending_s)
        for stage, spent_s in zip(STAGES, stages, strict=True):
            tally = record.requests[stage]
            tally.count += 1
            tally.seconds += spent_s
        record.rows += notes.rows
        record.latest_ms = int(time.time() * 1000)

    def documents(self, models: Sequence[tuple[str, str]]) -> list[dict[str, object]]:
        """`model_stats` of some models.

        Args:
            models: Name and version of each.
        """
        with self._lock:
            return [
                {"name": name, "version": version, **self._records[name, version].document()}
                for name, version in models
            ]
