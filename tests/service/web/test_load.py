"""What an operator is told while the worker is busy: what waits, who left at which stage, where time went."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from tests.service.holding import HOLD, PREDICT, asking, holding
from tests.service.models import FAKE_SERVER
from tests.support.scraping import changes, samples
from tests.support.wire import Answer, Server, connected, get, post, running, until

MODEL = ("toy", "1")
BLOCK = 668


@pytest.fixture(scope="module")
def busy() -> Iterator[Server]:
    with running(FAKE_SERVER) as started:
        yield started


def raw(document: dict[str, Any]) -> bytes:
    text = json.dumps(document).encode()
    return b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (
        PREDICT.encode(),
        len(text),
        text,
    )


def told(server: Server, *key: str) -> float:
    return samples(server).get(key, 0)


def statistics(server: Server) -> dict[str, Any]:
    (found,) = get(server, "/v2/models/toy/stats").document["model_stats"]
    return dict(found)


def test_what_waits_and_who_leaves_is_told_by_stage_and_waiting_is_no_computing(busy: Server) -> None:
    before = samples(busy)
    with ThreadPoolExecutor(1) as pool, connected(busy) as computed, connected(busy) as queued:
        computed.sendall(raw(asking(HOLD, 0, 0)))
        with holding(busy):
            queued.sendall(raw(asking(1, 2, 3, rows=2)))
            until(lambda: told(busy, "mcdrop_queue_units") == 2)
            waits: Any = pool.submit(post, busy, PREDICT, asking(1, 2, 3, rows=3))
            until(lambda: told(busy, "mcdrop_queue_units") == 5)
            began_s = time.monotonic()
            queued.close()
            until(lambda: told(busy, "mcdrop_requests_cancelled_total", "queued") == 1)
            assert told(busy, "mcdrop_queue_units") == 3
            computed.close()
            until(lambda: told(busy, "mcdrop_requests_cancelled_total", "running") == 1)
            waited_s = time.monotonic() - began_s
        answer: Answer = waits.result()
    assert answer.status == 200
    counted = changes(before, samples(busy))
    queue_s, compute_s, parse_s, total_s = (
        counted[f"mcdrop_{name}_seconds_sum", *MODEL] for name in ("queue", "compute", "parse", "request")
    )
    assert queue_s > waited_s
    assert parse_s + queue_s + compute_s < total_s
    assert counted["mcdrop_blocks_total", *MODEL] == 2
    assert counted["mcdrop_block_fill_ratio_sum", *MODEL] == 1 / 4 + 3 / 4


def test_statistics_and_metrics_tell_the_same_of_a_request_of_several_batches(busy: Server) -> None:
    metrics, before = samples(busy), statistics(busy)
    assert post(busy, PREDICT, asking(BLOCK, 10, 0, rows=3, n_samples=48)).status == 200
    counted, after = changes(metrics, samples(busy)), statistics(busy)
    assert counted["mcdrop_compute_seconds_sum", *MODEL] > 9 * 0.01
    for stage, name in {"queue": "queue", "compute_input": "parse", "compute_infer": "compute"}.items():
        ns = after["inference_stats"][stage]["ns"] - before["inference_stats"][stage]["ns"]
        assert ns / 1e9 == pytest.approx(counted[f"mcdrop_{name}_seconds_sum", *MODEL], abs=1e-6)
    assert after["inference_count"] - before["inference_count"] == 3
    sizes = {each["batch_size"]: each["compute_infer"]["count"] for each in after["batch_stats"]}
    earlier = {each["batch_size"]: each["compute_infer"]["count"] for each in before["batch_stats"]}
    assert [sizes[size] - earlier.get(size, 0) for size in (4, 1)] == [2, 1]
    assert after["last_inference"] / 1000 == pytest.approx(time.time(), abs=60)
