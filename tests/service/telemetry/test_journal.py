"""What is counted in lots comes to what would be counted one by one, and is counted before anyone looks."""

import time
from typing import Any

import numpy as np
import pytest
from mcdrop_service.facts import ModelFacts
from mcdrop_service.telemetry import Gauges, Journal, Metrics, Notes, Statistics
from mcdrop_service.telemetry.journal import FEW_NUMBERS, LOT

from tests.support.scraping import Samples, samples_of

FACTS = ModelFacts("a", "1", "", "", "raw", (), (), (), 30, 0)
NOTHING = Gauges(queue_units=0, models=())


def answered(model: str, version: str, rows: int = 2) -> Notes:
    """A request with 1 ms of parsing, 2 in the queue, and 4 of work."""
    at_s = time.monotonic() - 0.015
    return Notes(
        arrived_s=at_s,
        model=model,
        version=version,
        rows=rows,
        passes=rows * 30,
        parsed_s=at_s + 0.001,
        parsing_s=0.001,
        started_s=at_s + 0.003,
        answered_s=at_s + 0.007,
        outputs={"std": np.full((rows, 3), 0.2), "mean": np.zeros((rows, 3))},
        numbers=rows * 6,
    )


def ended() -> list[tuple[Notes, int, bool]]:
    """Just now: notes, status, and whether a prediction was asked."""
    return [
        (answered("a", "1"), 200, True),
        (answered("b", "2", 5), 200, True),
        (answered("a", "1"), 200, True),
        (Notes(model="a", version="1", rejected="queue_full"), 429, True),
        (Notes(model="b", version="2"), 413, True),
        (Notes(model="a", version="1", started_s=1.0), 499, True),
        (Notes(model="a", version="1"), 200, False),
        (Notes(), 404, False),
    ]


def samples(journal: Journal) -> Samples:
    """Every sample of the metrics by its name and labels, but for the times at which they began."""
    found = samples_of(journal.metrics_text(NOTHING))
    return {key: value for key, value in found.items() if not key[0].endswith("_created")}


def counted(*, one_by_one: bool) -> tuple[Samples, list[dict[str, Any]]]:
    """Metrics and statistics of what ended."""
    metrics = Metrics()
    journal = Journal(metrics, Statistics())
    for notes, status, predicts in ended():
        metrics.arrived()
        journal.batch_ended(FACTS, 12, 16, 0.25)
        journal.request_ended(notes, status, 0.015, predicts=predicts)
        if one_by_one:
            samples(journal)
    statistics: list[dict[str, Any]] = journal.statistics([("a", "1"), ("b", "2")])
    for each in statistics:
        assert abs(each.pop("last_inference") - time.time() * 1000) < 5000
    return samples(journal), statistics


def test_a_lot_comes_to_the_same_as_one_by_one() -> None:
    (metrics, statistics), (wanted, wanted_statistics) = counted(one_by_one=False), counted(one_by_one=True)
    assert metrics == pytest.approx(wanted, rel=1e-12)
    assert statistics == wanted_statistics


def test_what_ended_is_counted() -> None:
    metrics, (first, second) = counted(one_by_one=False)
    wanted = {
        ("mcdrop_requests_total", "200", "a", "1"): 3,
        ("mcdrop_requests_total", "429", "a", "1"): 1,
        ("mcdrop_requests_total", "499", "a", "1"): 1,
        ("mcdrop_requests_total", "413", "b", "2"): 1,
        ("mcdrop_requests_total", "404", "", ""): 1,
        ("mcdrop_requests_rejected_total", "queue_full"): 1,
        ("mcdrop_requests_rejected_total", "too_large"): 1,
        ("mcdrop_requests_cancelled_total", "running"): 1,
        ("mcdrop_rows_total", "b", "2"): 5,
        ("mcdrop_samples_total", "a", "1"): 120,
        ("mcdrop_blocks_total", "a", "1"): 8,
        ("mcdrop_block_fill_ratio_sum", "a", "1"): 8 * 0.75,
        ("mcdrop_request_seconds_count", "a", "1"): 5,
        ("mcdrop_compute_seconds_sum", "a", "1"): 0.008,
        ("mcdrop_queue_seconds_bucket", "0.0025", "b", "2"): 1,
        ("mcdrop_queue_seconds_bucket", "0.001", "b", "2"): 0,
        ("mcdrop_predictive_std_count", "b", "2"): 15,
        ("mcdrop_inflight_requests",): 0,
    }
    assert {key: metrics[key] for key in wanted} == pytest.approx(wanted)
    assert not any(key[1] == "" for key in metrics if key[0].startswith("mcdrop_request_seconds") and key[1:])
    stats, other = first["inference_stats"], second["inference_stats"]
    assert (stats["success"]["count"], stats["fail"]["count"], other["fail"]["count"]) == (2, 2, 1)
    assert other["compute_infer"] == pytest.approx({"count": 1, "ns": 4e6}, rel=1e-3)
    assert other["queue"] == pytest.approx({"count": 1, "ns": 2e6}, rel=1e-3)
    assert other["compute_output"] == pytest.approx({"count": 1, "ns": 8e6}, rel=1e-3)
    assert (first["inference_count"], first["execution_count"]) == (4, 8)


def test_rows_of_one_that_was_given_up_are_not_answered_though_the_worker_goes_on_to_its_end() -> None:
    journal, notes = Journal(Metrics(), Statistics()), answered("a", "1")
    answered_s, notes.answered_s, notes.outputs = notes.answered_s, 0.0, None
    journal.request_ended(notes, 504, 0.015, predicts=True)
    notes.answered_s = answered_s
    found = samples(journal)
    assert found["mcdrop_requests_total", "504", "a", "1"] == 1
    assert ("mcdrop_rows_total", "a", "1") not in found
    assert ("mcdrop_compute_seconds_count", "a", "1") not in found


def test_nothing_waits_longer_than_for_a_lot() -> None:
    metrics = Metrics()
    journal = Journal(metrics, Statistics())
    for _ in range(LOT - 1):
        journal.request_ended(answered("a", "1"), 200, 0.015, predicts=True)
    assert b"mcdrop_requests_total{" not in metrics.text(NOTHING)
    journal.request_ended(answered("a", "1"), 200, 0.015, predicts=True)
    assert f'mcdrop_rows_total{{model="a",version="1"}} {2 * LOT}.0'.encode() in metrics.text(NOTHING)


def test_the_arrays_of_a_long_answer_are_not_held() -> None:
    metrics = Metrics()
    journal = Journal(metrics, Statistics())
    journal.request_ended(answered("a", "1", FEW_NUMBERS), 200, 0.015, predicts=True)
    assert b"mcdrop_requests_total{" in metrics.text(NOTHING)
