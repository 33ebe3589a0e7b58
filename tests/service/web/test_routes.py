"""Every route, asked properly and improperly."""

import re
from typing import Any

import pytest

from tests.support.wire import Server, exchange, get, post

PREDICT = "/v1/models/toy/predict"
ROW = [1.0, 2.0, 3.0]


def test_the_process_lives(server: Server) -> None:
    answer = get(server, "/healthz")
    assert (answer.status, answer.document) == (200, {"live": True})


def test_no_answer_says_what_serves_it(server: Server) -> None:
    headers = get(server, "/healthz").headers
    assert set(headers) == {"date", "content-length", "content-type", "x-request-id"}


def test_the_service_is_ready_after_the_warm_up(server: Server) -> None:
    answer = get(server, "/readyz")
    assert (answer.status, answer.document) == (200, {"ready": True, "state": "ready"})


def test_the_models_are_listed(server: Server) -> None:
    assert get(server, "/v1/models").document == {"models": ["toy"]}


def test_a_model_tells_what_it_takes_and_gives(server: Server) -> None:
    document = get(server, "/v1/models/toy").document
    assert document["inputs"] == [{"name": "x", "dtype": "float32", "shape": [-1, 3]}]
    assert document["outputs"] == ["mean", "std", "standard_error"]
    assert (document["n_samples"], document["max_n_samples"], document["seed"]) == (32, 799, 5)


def test_a_prediction_echoes_what_replays_it(server: Server) -> None:
    document = post(server, PREDICT, {"inputs": [ROW], "n_samples": 64, "seed": 7}).document
    assert (document["model"], document["n_samples"], document["seed"]) == ("toy", 64, 7)
    assert document["outputs"] == {"mean": [[2.0, 4.0, 6.0]], "std": [[2.0, 4.0, 6.0]]}


@pytest.mark.parametrize(
    ("beyond", "status", "came"),
    [
        ({"n_samples": 800}, 400, "n_samples must be a whole number from 2 to 799"),
        ({"quantiles": [0.1, 0.5, 0.9]}, 400, "quantiles must be at most 2 levels, got 3"),
        ({"inputs": [ROW] * 26}, 413, "a request may hold 50 rows times blocks of 16 samples, got 52"),
        ({"inputs": [ROW] * 25}, 413, "bytes of memory, and all together may take 100000"),
    ],
)
def test_what_is_beyond_a_limit_that_was_set_is_refused(
    server: Server, beyond: dict[str, Any], status: int, came: str
) -> None:
    answer = post(server, PREDICT, {"inputs": [ROW], **beyond})
    assert answer.status == status
    assert came in answer.error


def test_a_body_without_a_content_type_is_taken_as_json(server: Server) -> None:
    body = b'{"inputs": [[1, 2, 3]]}'
    raw = b"POST %s HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s" % (PREDICT.encode(), len(body), body)
    assert exchange(server, raw).status == 200


@pytest.mark.parametrize(
    ("method", "path", "status", "came"),
    [
        ("GET", "/", 404, "there is no page for GET '/'; /docs says what there is"),
        ("GET", "/v1/models/", 404, "there is no page"),
        ("GET", "/v1/models/none", 404, "unknown model 'none'; this service has toy"),
        ("POST", "/v1/models/none/predict", 404, "unknown model 'none'"),
        ("GET", PREDICT, 405, "does not take GET"),
        ("POST", "/healthz", 405, "does not take POST"),
        ("DELETE", "/v1/models/toy", 405, "does not take DELETE"),
        ("POST", "/redoc", 404, "there is no page"),
    ],
)
def test_a_wrong_address_is_refused(server: Server, method: str, path: str, status: int, came: str) -> None:
    raw = f"{method} {path} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    answer = exchange(server, raw.encode())
    assert answer.status == status
    assert came in answer.error


def test_a_wrong_method_is_told_the_right_one(server: Server) -> None:
    assert get(server, PREDICT).headers["allow"] == "POST"


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""])
def test_another_content_type_is_refused(server: Server, kind: str) -> None:
    raw = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-type: {kind}\r\ncontent-length: 2\r\n\r\n{{}}"
    answer = exchange(server, raw.encode())
    assert answer.status == 415
    assert "must be application/json" in answer.error


def test_a_compressed_body_is_refused(server: Server) -> None:
    raw = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-encoding: gzip\r\ncontent-length: 2\r\n\r\n{{}}"
    answer = exchange(server, raw.encode())
    assert answer.status == 415
    assert "must not be compressed, got content encoding 'gzip'" in answer.error


def test_a_model_that_raises_gives_500_without_its_words(server: Server) -> None:
    answer = post(server, PREDICT, {"inputs": [[666, 0, 0]]})
    assert (answer.status, answer.error) == (500, "the model toy failed on this request")


def test_a_model_that_gives_nan_gives_500_with_the_reason(server: Server) -> None:
    answer = post(server, PREDICT, {"inputs": [[667, 0, 0]]})
    assert (answer.status, answer.error) == (500, "the model's mean is not finite in 3 of 3 numbers")


def test_the_documentation_is_one_page_that_asks_nothing_of_the_network(server: Server) -> None:
    answer = get(server, "/docs")
    page = answer.body.decode()
    assert answer.headers["content-type"].startswith("text/html")
    assert "default-src 'none'" in answer.headers["content-security-policy"]
    assert "POST /v1/models/{name}/predict" in page
    assert re.findall(r"<script|src=|https?:|@import|url\(", page) == []


def test_the_openapi_document_names_every_route_and_no_status_beside(server: Server) -> None:
    paths = get(server, "/openapi.json").document["paths"]
    versioned = {f"/v2/models/{{name}}{version}" for version in ("", "/versions/{version}")}
    assert set(paths) == {
        *(f"{place}{page}" for place in versioned for page in ("", "/infer", "/ready", "/stats")),
        "/v2",
        "/v2/health/live",
        "/v2/health/ready",
        "/v2/models",
        "/v2/models/stats",
        "/v2/repository/index",
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/models",
        "/v1/models/{name}",
        "/v1/models/{name}/predict",
        "/v1/models/{name}/versions/{version}",
    }
    assert all("422" not in operation["responses"] for path in paths.values() for operation in path.values())
