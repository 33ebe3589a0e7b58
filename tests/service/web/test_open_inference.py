"""The routes of the Open Inference Protocol, asked by raw HTTP."""

import gzip
import json
import struct
import zlib
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.wire import PATIENCE_S, Answer, Server, connected, exchange, get, post, read_answer

INFER = "/v2/models/toy/infer"
X = {"name": "x", "shape": [1, 3], "datatype": "FP32", "data": [1, 2, 3]}
ROW = struct.pack("<3f", 1, 2, 3)
LATE = {
    (504, "the answer was not ready before its deadline"),
    (429, "it could not be done before its deadline; ask again in 1 s, or allow more time"),
}
BINARY = {"name": "x", "shape": [1, 3], "datatype": "FP32", "parameters": {"binary_data_size": 12}}


def infer(server: Server, path: str = INFER, **fields: Any) -> Answer:
    return post(server, path, {"inputs": [X], **fields})


def test_the_server_tells_its_extensions_with_and_without_a_slash(server: Server) -> None:
    document = get(server, "/v2").document
    assert document["name"] == "mcdrop"
    assert document["extensions"] == ["binary_tensor_data", "statistics", "parameters", "schedule_policy"]
    assert get(server, "/v2/").document == document


def test_health_has_a_body_that_clients_can_read(server: Server) -> None:
    assert get(server, "/v2/health/live").document == {"live": True}
    assert get(server, "/v2/health/ready").document == {"ready": True, "live": True}


@pytest.mark.parametrize("place", ["/v2/models/toy", "/v2/models/toy/versions/1"])
def test_a_model_tells_what_it_takes_and_gives(server: Server, place: str) -> None:
    document = get(server, place).document
    assert (document["name"], document["versions"], document["platform"]) == ("toy", ["1"], "mcdrop_pytorch")
    assert document["inputs"] == [{"name": "x", "datatype": "FP32", "shape": [-1, 3]}]
    assert {"name": "mean", "datatype": "FP32", "shape": [-1, 3]} in document["outputs"]
    assert document["properties"] == {
        "task": "regression",
        "n_samples": "32",
        "max_n_samples": "799",
        "seed": "5",
        "digest": "sha256:00",
        "fingerprint": "0123456789abcdef",
        "batch_invariance": "bitwise",
    }
    assert get(server, f"{place}/ready").document == {"name": "toy", "ready": True}


@pytest.mark.parametrize(
    ("path", "came"),
    [
        ("/v2/models/none", "unknown model 'none'; this service has toy"),
        ("/v2/models/none/ready", "unknown model 'none'"),
        ("/v2/models/none/stats", "unknown model 'none'"),
        ("/v2/models/toy/versions/2", "toy has no version '2'; it has 1"),
        ("/v2/models/toy/versions/2/ready", "toy has no version '2'"),
        ("/v2/models/toy/versions/one/stats", "toy has no version 'one'"),
        ("/v2/repository/models/toy/load", "there is no page"),
        ("/v2/models/toy/config", "there is no page"),
    ],
)
def test_what_is_not_there_is_refused(server: Server, path: str, came: str) -> None:
    answer = get(server, path)
    assert answer.status == 404
    assert came in answer.error


@pytest.mark.parametrize("path", [INFER, "/v2/models/toy/versions/1/infer"])
def test_a_prediction_in_json_answers_every_output(server: Server, path: str) -> None:
    answer = infer(server, path, id="mine", parameters={"n_samples": 64, "seed": 7})
    document = answer.document
    assert (answer.status, document["id"], document["model_version"]) == (200, "mine", "1")
    assert document["parameters"]["seed"] == 7
    assert [each["name"] for each in document["outputs"]] == ["mean", "std", "standard_error"]
    assert document["outputs"][0]["data"] == [2.0, 4.0, 6.0]


PACKED: dict[str, Callable[[bytes], bytes]] = {
    "identity": bytes,
    "gzip": gzip.compress,
    "deflate": zlib.compress,
}


def raw_request(document: dict[str, Any], raw: bytes, coding: str = "identity", **headers: str) -> bytes:
    """As tritonclient sends it: without a content type, the length being that of the unpacked JSON."""
    text = json.dumps(document).encode()
    packed = PACKED[coding](text + raw)
    named = {"content-encoding": coding, "content-length": str(len(packed)), **headers}
    named.setdefault("inference-header-content-length", str(len(text)))
    head = "".join(f"{name}: {value}\r\n" for name, value in named.items())
    return f"POST {INFER} HTTP/1.1\r\nhost: x\r\n{head}\r\n".encode() + packed


@pytest.mark.parametrize("coding", ["identity", "gzip", "deflate"])
def test_binary_data_goes_both_ways_compressed_or_not(server: Server, coding: str) -> None:
    document = {"inputs": [BINARY], "outputs": [{"name": "mean", "parameters": {"binary_data": True}}]}
    answer = exchange(server, raw_request(document, ROW, coding))
    length = int(answer.headers["inference-header-content-length"])
    assert answer.headers["content-type"] == "application/octet-stream"
    (mean,) = json.loads(answer.body[:length])["outputs"]
    assert mean["parameters"] == {"binary_data_size": 12}
    assert struct.unpack("<3f", answer.body[length:]) == (2, 4, 6)


@pytest.mark.parametrize("length", ["-1", "1e1", "", "999999", "0", "9" * 30])
def test_a_wrong_length_of_the_json_part_is_refused(server: Server, length: str) -> None:
    headers = {"inference-header-content-length": length}
    answer = exchange(server, raw_request({"inputs": [BINARY]}, ROW, **headers))
    assert answer.status == 400
    assert "Inference-Header-Content-Length" in answer.error


def test_a_bomb_is_refused_by_the_size_that_it_would_have(server: Server) -> None:
    answer = exchange(server, raw_request({"inputs": [BINARY]}, bytes(1_000_000), "gzip"))
    assert answer.status == 413
    assert "at most 2000 bytes long when unpacked" in answer.error


@pytest.mark.parametrize(
    ("header", "value", "came"),
    [
        ("content-encoding", "br", "must be gzip, deflate or none, got 'br'"),
        ("content-type", "text/plain", "must be application/json or application/octet-stream"),
    ],
)
def test_another_coding_or_type_is_refused(server: Server, header: str, value: str, came: str) -> None:
    body = json.dumps({"inputs": [X]}).encode()
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\n{header}: {value}\r\ncontent-length: {len(body)}\r\n\r\n"
    answer = exchange(server, head.encode() + body)
    assert answer.status == 415
    assert came in answer.error


def test_a_model_that_fails_or_gives_nan_is_a_fault_without_its_words(server: Server) -> None:
    failing = post(server, INFER, {"inputs": [{**X, "data": [666, 0, 0]}]})
    assert (failing.status, failing.error) == (500, "the model toy failed on this request")
    strange = {"inputs": [{**X, "data": [667, 0, 0]}], "outputs": [{"name": "mean"}]}
    assert post(server, INFER, strange).status == 500
    binary = {**strange, "parameters": {"binary_data_output": True}}
    assert post(server, INFER, binary).status == 200


def test_a_client_has_the_time_that_it_asks_for_if_that_is_less_than_the_services(server: Server) -> None:
    answer = infer(server, parameters={"timeout": 1})  # a microsecond
    assert (answer.status, answer.error) in LATE


def test_the_time_that_a_body_takes_to_come_counts_too(server: Server) -> None:
    body = json.dumps({"inputs": [X], "parameters": {"n_samples": 16, "timeout": 200_000}}).encode()
    head = f"POST {INFER} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(body)}\r\n\r\n".encode()
    with connected(server) as connection:
        connection.sendall(head + body[:10])
        connection.settimeout(0.25)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        connection.settimeout(PATIENCE_S)
        connection.sendall(body[10:])
        answer = read_answer(connection)
        assert (answer.status, answer.error) in LATE


def test_statistics_count_what_was_answered_and_what_failed(server: Server) -> None:
    before = statistics(server)
    infer(server, parameters={"n_samples": 32})
    post(server, INFER, {"inputs": [{**X, "shape": [3, 1]}]})
    after = statistics(server)
    stats = {name: its["count"] for name, its in after["inference_stats"].items()}
    was = {name: its["count"] for name, its in before["inference_stats"].items()}
    assert {name: stats[name] - was[name] for name in stats} == {
        "success": 1,
        "fail": 1,
        "queue": 1,
        "compute_input": 1,
        "compute_infer": 1,
        "compute_output": 1,
        "cache_hit": 0,
        "cache_miss": 0,
    }
    assert after["inference_count"] - before["inference_count"] == 1
    assert after["last_inference"] > 0
    assert sum(each["compute_infer"]["count"] for each in after["batch_stats"]) == after["execution_count"]


def statistics(server: Server) -> dict[str, Any]:
    (found,) = get(server, "/v2/models/toy/stats").document["model_stats"]
    assert get(server, "/v2/models/stats").document["model_stats"] == [found]
    assert get(server, "/v2/models/toy/versions/1/stats").document["model_stats"] == [found]
    return dict(found)


@pytest.mark.parametrize("body", [b"", b"{}", b'{"ready": true}', b'{"ready": false}'])
def test_the_index_takes_an_empty_body_too(server: Server, body: bytes) -> None:
    answer = post(server, "/v2/repository/index", body)
    assert answer.document == [{"name": "toy", "version": "1", "state": "READY", "reason": ""}]


def test_an_index_that_is_asked_for_wrongly_is_refused(server: Server) -> None:
    assert "ready must be true or false, got 1" in post(server, "/v2/repository/index", {"ready": 1}).error
    assert post(server, "/v2/repository/index", b"[").status == 400
