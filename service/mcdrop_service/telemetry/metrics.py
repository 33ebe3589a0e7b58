"""Metrics in Prometheus' form. Labels are names and versions of models and short fixed words, never ids."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.exposition import generate_latest

from mcdrop_service.facts import ModelFacts
from mcdrop_service.telemetry.distributions import Distributions
from mcdrop_service.telemetry.ended import CLIENT_GONE, EndedBatch, EndedRequest, Model, by_model
from mcdrop_service.telemetry.families import Counters, Histograms
from mcdrop_service.telemetry.notes import Notes

__all__ = ["METRICS_TYPE", "Gauges", "Metrics"]

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
SHARES: Final = (0.125, 0.25, 0.375, 0.5, 0.625, 0.75, 0.875, 1)
MODEL: Final = ("model", "version")
METRICS_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
LOADS: Final = ("failure", "success")
REASONS: Final[Mapping[int, str]] = {413: "too_large", 429: "memory"}
"""Of what was turned away before it reached the queue."""


@dataclass(frozen=True)
class Gauges:
    """What is read when someone asks.

    Attributes:
        queue_units: Units that wait.
        models: What is served.
        unfit: Names and versions of those that failed too often.
        worker_up: Whether the worker works.
        worker_busy_s: How long it has been at the step that it is at.
    """

    queue_units: int
    models: Sequence[ModelFacts]
    unfit: Collection[tuple[str, str]] = ()
    worker_up: bool = True
    worker_busy_s: float = 0.0


class Metrics:
    """All metrics of a process, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self._requests = self._counter("requests", "Requests that ended, by status", (*MODEL, "code"))
        self._rejected = self._counter("requests_rejected", "Requests that were turned away", ("reason",))
        self._cancelled = self._counter("requests_cancelled", "Clients that went away", ("stage",))
        self._loads = self._counter("model_loads", "Attempts to load a model", ("model", "result"))
        self._rows = self._counter("rows", "Rows that were answered", MODEL)
        self._samples = self._counter("samples", "Samples that were answered: rows times passes", MODEL)
        self._blocks = self._counter("blocks", "Batches that were computed", MODEL)
        self._total_s = self._histogram("request_seconds", "From arrival to the end of the answer", MODEL)
        self._queue_s = self._histogram("queue_seconds", "From the parsed request to its first work", MODEL)
        self._compute_s = self._histogram("compute_seconds", "From the first work to the answer", MODEL)
        self._parse_s = self._histogram("parse_seconds", "Reading the body into arrays", MODEL)
        self._fill = self._histogram("block_fill_ratio", "Share of a batch that was used", MODEL, SHARES)
        self._inflight = self._gauge("inflight_requests", "Requests that are being answered", ())
        self._waiting = self._gauge("queue_units", "Units (a row times 16 samples) that wait", ())
        self._ready = self._gauge("model_ready", "1 for a version that answers, 0 for one that fails", MODEL)
        self._up = self._gauge("worker_up", "0 while the worker hangs in a step", ())
        self._busy = self._gauge("worker_busy_seconds", "How long the step under way has taken", ())
        self._info = self._gauge("model_info", "What a model is", (*MODEL, "digest", "fingerprint"))
        self._under_way = 0
        self._distributions = Distributions(self._registry)

    def arrived(self) -> None:
        """A request arrived."""
        self._under_way += 1

    def ended(self, requests: Sequence[EndedRequest], batches: Sequence[EndedBatch]) -> None:
        """Some requests and batches ended.

        Args:
            requests: In any order.
            batches: Likewise.
        """
        self._under_way -= len(requests)
        for model, its_requests in by_model(requests).items():
            for status, count in Counter([each.status for each in its_requests]).items():
                self._requests.add((*model, str(status)), count)
            if model[0]:
                self._observe(model, its_requests)
        for each in requests:
            if not each.answered:
                self._count_unanswered(each.notes, each.status)
        for model, its_batches in by_model(batches).items():
            self._blocks.add(model, len(its_batches))
            self._fill.take(model, [each.share for each in its_batches])

    def _count_unanswered(self, notes: Notes, status: int) -> None:
        reason = notes.rejected or (REASONS.get(status) if notes.model else None)
        if reason:
            self._rejected.add((reason,))
        if status == CLIENT_GONE:
            self._cancelled.add(("running" if notes.started_s else "queued",))

    def _observe(self, model: Model, requests: Sequence[EndedRequest]) -> None:
        self._total_s.take(model, [each.seconds for each in requests])
        notes = [each.notes for each in requests]
        # of one that was given up in the middle of its last piece the worker notes the answer all the same
        answered = [each.notes for each in requests if each.answered and each.notes.answered_s]
        self._parse_s.take(model, [each.parsing_s for each in notes if each.parsed_s])
        self._queue_s.take(model, [each.queued_s for each in notes if each.started_s])
        if answered:
            self._compute_s.take(model, [each.computing_s for each in answered])
            self._rows.add(model, sum([each.rows for each in answered]))
            self._samples.add(model, sum([each.passes for each in answered]))
        self._distributions.take(model, [each.outputs for each in notes if each.outputs])

    def connection_refused(self) -> None:
        """A connection was turned away: there were too many."""
        self._rejected.add(("connections",))

    def loaded(self, model: str, *, well: bool) -> None:
        """A model was loaded, or could not be.

        Args:
            model: A name that the repository has.
            well: Whether it is served now.
        """
        self._loads.add((model, LOADS[well]))

    def text(self, gauges: Gauges) -> bytes:
        """All metrics in Prometheus' text format, whose type is `METRICS_TYPE`.

        Args:
            gauges: The state of the moment.
        """
        self._inflight.set(self._under_way)
        self._waiting.set(gauges.queue_units)
        self._up.set(gauges.worker_up)
        self._busy.set(gauges.worker_busy_s)
        self._ready.clear()
        self._info.clear()
        for facts in gauges.models:
            fit = (facts.name, facts.version) not in gauges.unfit
            self._ready.labels(facts.name, facts.version).set(fit)
            for result in LOADS:  # Prometheus sees no increase in a series that begins with 1
                self._loads.add((facts.name, result), 0)
            self._info.labels(facts.name, facts.version, facts.digest, facts.fingerprint).set(1)
        return generate_latest(self._registry)

    def _counter(self, name: str, about: str, labels: Sequence[str]) -> Counters:
        counters = Counters(f"mcdrop_{name}", about, labels)
        self._registry.register(counters)
        return counters

    def _gauge(self, name: str, about: str, labels: Sequence[str]) -> Gauge:
        return Gauge(f"mcdrop_{name}", about, labels, registry=self._registry)

    def _histogram(
        self, name: str, about: str, labels: Sequence[str], bounds: Sequence[float] = SECONDS
    ) -> Histograms:
        histograms = Histograms(f"mcdrop_{name}", about, labels, bounds)
        self._registry.register(histograms)
        return histograms
