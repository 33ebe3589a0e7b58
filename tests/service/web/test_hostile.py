"""Input that no honest client sends, over raw sockets. After each test an honest request must succeed."""

import contextlib
import re
import socket
import struct
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.service.holding import PREDICT, held
from tests.service.models import FAKE_SERVER
from tests.support.scraping import changes, samples
from tests.support.wire import Server, connected, exchange, post, read_answer, running, until

LIMIT = 2000
HEAD = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n"
BODY = b'{"inputs": [[1, 2, 3]]}'
CHUNKED = f"{HEAD}transfer-encoding: chunked\r\n\r\n{len(BODY):x}\r\n{BODY.decode()}\r\n".encode()
TOO_LONG = "the head of a request may be at most 65536 bytes long, got more"
NOT_HTTP = "the request must be HTTP/1.1, got something else"


def request(body: bytes, *, length: int | None = None) -> bytes:
    return f"{HEAD}content-length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def padded(size: int) -> bytes:
    return BODY + b" " * (size - len(BODY))


@pytest.mark.parametrize(("size", "status"), [(LIMIT - 1, 200), (LIMIT, 200), (LIMIT + 1, 413)])
def test_a_body_may_reach_the_limit_and_no_more(server: Server, size: int, status: int) -> None:
    assert exchange(server, request(padded(size))).status == status


@pytest.mark.parametrize(("size", "status"), [(LIMIT, 200), (LIMIT + 1, 413), (LIMIT * 100, 413)])
def test_the_limit_holds_without_a_declared_length(server: Server, size: int, status: int) -> None:
    body = padded(size)
    pieces = [body[i : i + 6] for i in range(0, size, 6)] if size < 3 * LIMIT else [body]
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
    answer = exchange(server, f"{HEAD}transfer-encoding: chunked\r\n\r\n".encode() + chunks + b"0\r\n\r\n")
    assert answer.status == status


def test_a_body_that_is_declared_far_too_long_is_refused_before_it_is_sent(server: Server) -> None:
    answer = exchange(server, request(b"", length=10**15))
    assert answer.status == 413
    assert "at most 2000 bytes" in answer.error


def test_a_body_that_is_much_too_long_is_refused_to_a_client_that_reads_late(server: Server) -> None:
    answer = post(server, PREDICT, padded(4_000_000))
    assert answer.status == 413
    assert "at most 2000 bytes long, got 4000000" in answer.error


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "23, 24", "9" * 30, "", "+23"])
def test_a_length_that_is_no_number_is_refused(server: Server, length: str) -> None:
    answer = exchange(server, f"{HEAD}content-length: {length}\r\n\r\n".encode() + BODY)
    assert answer.status in {400, 413}
    assert answer.error


def test_two_lengths_are_refused(server: Server) -> None:
    raw = f"{HEAD}content-length: 23\r\ntransfer-encoding: chunked\r\n\r\n".encode() + BODY
    answer = exchange(server, raw)
    assert answer.status == 400
    assert answer.error == NOT_HTTP


def test_a_body_that_stops_halfway_is_refused_in_time(hasty: Server) -> None:
    answer = exchange(hasty, request(BODY, length=100))
    assert answer.status == 408
    assert "within 200 ms" in answer.error


def test_a_head_that_never_ends_is_given_up_in_time(hasty: Server) -> None:
    with connected(hasty) as connection:
        connection.sendall(b"POST / HTTP/1.1\r\nhost: x\r\n")
        assert read_answer(connection).status == 408


def test_a_connection_that_says_nothing_is_given_up_in_time(hasty: Server) -> None:
    with connected(hasty) as connection:
        assert read_answer(connection).status == 408


@pytest.mark.parametrize(
    "raw", [b"\x00\x01\x02\r\n\r\n", b"GET\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"]
)
def test_what_is_not_http_is_refused_in_our_form(server: Server, raw: bytes) -> None:
    answer = exchange(server, raw)
    assert answer.status == 400
    assert answer.error == NOT_HTTP


@pytest.mark.parametrize("behind", [b"GET\r\n\r\n", CHUNKED + b"z\r\n"], ids=["head", "body"])
def test_what_is_not_http_takes_no_answer_from_a_request_before_it(server: Server, behind: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(request(BODY) + request(b"{}") + behind)
        received = b"".join(iter(lambda: connection.recv(100_000), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"400", b"400"]
    assert received.count(b"connection: close") == 1


def test_a_url_that_is_none_is_refused_with_a_wish_for_another_protocol_too(server: Server) -> None:
    fields = b"host: x\r\nconnection: upgrade\r\nupgrade: h2c\r\n\r\n"
    answer = exchange(server, b"GET http://x:99999/ HTTP/1.1\r\n" + fields)
    assert (answer.status, answer.error) == (400, NOT_HTTP)


def test_a_head_that_is_too_long_is_refused(server: Server) -> None:
    raw = b"GET / HTTP/1.1\r\nhost: x\r\n" + b"x: " + b"y" * 200_000
    with connected(server) as connection:
        connection.sendall(raw)
        answer = read_answer(connection)
        assert (answer.status, answer.error) == (400, TOO_LONG)


def test_a_head_of_which_much_comes_behind_another_request_is_measured_whole(server: Server) -> None:
    half = b"y" * 40_000
    with connected(server) as connection:
        connection.sendall(request(BODY) + b"GET /healthz HTTP/1.1\r\nhost: x\r\nx: " + half)
        assert read_answer(connection).status == 200
        connection.sendall(half + b"\r\n\r\n")
        answer = read_answer(connection)
        assert (answer.status, answer.error) == (400, TOO_LONG)


def test_fields_behind_a_body_change_no_head(server: Server) -> None:
    fields = b"content-type: text/plain\r\nx-api-key: stolen\r\n"
    assert exchange(server, CHUNKED + b"0\r\n" + fields + b"\r\n").status == 200


@pytest.mark.parametrize("endless", [b"0\r\nx: ", b"0\r\n", b"1;x="], ids=["value", "fields", "extension"])
def test_what_is_behind_a_body_has_a_limit_too(server: Server, endless: bytes) -> None:
    with connected(server) as connection:
        connection.sendall(CHUNKED)
        with contextlib.suppress(ConnectionError):
            connection.sendall(endless)
            for _ in range(8):
                connection.sendall(b"a: b\r\n" * 10_000 if endless == b"0\r\n" else b"y" * 60_000)
        answer = read_answer(connection)
        assert (answer.status, answer.error) == (400, TOO_LONG)


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.2"])
def test_a_client_that_wishes_for_another_protocol_is_answered_in_this_one(
    server: Server, protocol: str
) -> None:
    wish = f"connection: upgrade\r\nupgrade: {protocol}\r\ncontent-length: {len(BODY)}\r\n\r\n"
    last = request(BODY).replace(b"host: x", b"host: x\r\nconnection: close")
    with connected(server) as connection:
        connection.sendall(2 * (f"{HEAD}{wish}".encode() + BODY) + last)
        received = b"".join(iter(lambda: connection.recv(100_000), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200"] * 3


def test_the_body_of_such_a_client_is_no_other_request(server: Server) -> None:
    hidden = b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    wish = f"connection: upgrade\r\nupgrade: h2c\r\ncontent-length: {len(hidden)}\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(f"{HEAD}{wish}".encode())
        connection.sendall(hidden)
        assert read_answer(connection).status == 400
        connection.sendall(request(BODY))
        assert read_answer(connection).status == 200


def test_a_tunnel_is_refused(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(b"CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n" + request(BODY))
        assert read_answer(connection).status == 400
        assert connection.recv(1) == b""


def test_a_head_that_follows_a_long_body_at_once_is_not_measured_with_it(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(request(b" " * 100_000) + HEAD[:30].encode())
        assert read_answer(connection).status == 413


@pytest.mark.parametrize(
    "name",
    [
        "..",
        "%2e%2e",
        "%252e%252e",
        "..%2f..%2fetc%2fpasswd",
        "..%5c..%5c",
        "toy%00",
        "%00",
        "%ff%fe",
        "%2fetc%2fpasswd",
        "toy@1",
        "toy%20",
        "v2",
        "x" * 5000,
        "{name}",
    ],
)
@pytest.mark.parametrize("path", ["/v1/models/{}", "/v1/models/{}/predict"])
def test_a_name_that_is_no_model_is_not_found(server: Server, name: str, path: str) -> None:
    method = "POST" if path.endswith("predict") else "GET"
    raw = f"{method} {path.replace('{}', name)} HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n"
    answer = exchange(server, raw.encode())
    assert answer.status == 404
    assert len(answer.error) < 300
    assert "Traceback" not in answer.error


def test_an_answer_without_a_body_is_sent_before_the_next(server: Server) -> None:
    head = b"HEAD /healthz HTTP/1.1\r\nhost: x\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
    with connected(server) as connection:
        connection.sendall(head + last)
        came = b"".join(iter(lambda: connection.recv(65536), b""))
    assert re.findall(rb"HTTP/1\.1 (\d+)", came) == [b"200", b"200"]
    assert (came.count(b"content-length: 13"), came.count(b'{"live":true}')) == (2, 1)


def test_a_client_that_asks_whether_to_send_its_body_is_told_so(server: Server) -> None:
    with connected(server) as connection:
        connection.sendall(
            request(b"", length=len(BODY)).replace(b"host: x", b"host: x\r\nexpect: 100-Continue")
        )
        told = connection.recv(25, socket.MSG_WAITALL)
        connection.sendall(BODY)
        assert told == b"HTTP/1.1 100 Continue\r\n\r\n"
        assert read_answer(connection).status == 200


@pytest.mark.parametrize(
    ("version", "field", "stays"),
    [("1.1", "x: y", True), ("1.1", "connection: close", False), ("1.0", "connection: keep-alive", False)],
)
def test_a_connection_stays_open_unless_the_client_is_too_old_or_says_otherwise(
    server: Server, version: str, field: str, stays: bool
) -> None:
    asked = f"GET /healthz HTTP/{version}\r\nhost: x\r\n{field}\r\n\r\n".encode()
    with connected(server) as connection:
        connection.sendall(asked)
        answer = read_answer(connection)
        assert (answer.status, answer.headers.get("connection")) == (200, None if stays else "close")
        if stays:
            connection.sendall(asked)
            assert read_answer(connection).status == 200
        else:
            assert connection.recv(1) == b""


def test_a_connection_on_which_nothing_more_is_asked_is_closed_in_time() -> None:
    with running(FAKE_SERVER, MCDROP_KEEP_ALIVE_MS="200") as server, connected(server) as connection:
        began_s = time.monotonic()
        connection.sendall(3 * request(b'{"inputs": [[668, 150, 0]], "n_samples": 16}'))
        received = b"".join(iter(lambda: connection.recv(100_000), b""))
        assert time.monotonic() - began_s > 3 * 0.15 + 0.2
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200"] * 3


def test_requests_in_many_small_packets_are_answered_in_order(server: Server) -> None:
    last = request(BODY).replace(b"host: x", b"host: x\r\nconnection: close")
    with connected(server) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        stream = request(BODY) + request(b"{}") + request(padded(1500)) + last
        for start in range(0, len(stream), 7):
            connection.sendall(stream[start : start + 7])
        received = b"".join(iter(lambda: connection.recv(100_000), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"400", b"200", b"200"]


def test_a_client_that_resets_the_connection_disturbs_nobody(server: Server) -> None:
    for sent in (b"", b"POST ", request(BODY, length=100), request(BODY)):
        connection = connected(server)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.sendall(sent)
        connection.close()


def test_a_client_that_is_gone_frees_its_place_before_its_turn(server: Server) -> None:
    before, gone = samples(server), ("mcdrop_requests_total", "499", "toy", "1")
    with held(server):
        for _ in range(30):
            with connected(server) as connection:
                connection.sendall(request(BODY))
        until(lambda: changes(before, samples(server)).get(gone) == 30)
        assert samples(server)["mcdrop_queue_units",] == 0


def test_requests_in_one_packet_are_answered_in_order(server: Server) -> None:
    last = request(BODY).replace(b"host: x", b"host: x\r\nconnection: close")
    with connected(server) as connection:
        connection.sendall(request(BODY) + request(b"{}") + last)
        received = b"".join(iter(lambda: connection.recv(100_000), b""))
    assert re.findall(rb"HTTP/1.1 (\d+)", received) == [b"200", b"400", b"200"]


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=200))
def test_any_bytes_as_a_body_are_answered_in_json(server: Server, body: bytes) -> None:
    answer = post(server, PREDICT, body)
    assert answer.status in {200, 400}
    assert "Traceback" not in answer.body.decode()
    if answer.status == 400:
        assert answer.error


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(min_size=1, max_size=60), st.integers(0, 60))
def test_a_request_with_changed_bytes_is_answered_or_dropped(
    server: Server, noise: bytes, place: int
) -> None:
    raw = bytearray(request(BODY))
    raw[place : place + len(noise)] = noise
    with connected(server) as connection:
        connection.sendall(raw)
        with contextlib.suppress(ConnectionError, OSError):
            connection.shutdown(socket.SHUT_WR)
            received = connection.recv(100_000)
            assert received == b"" or received.startswith(b"HTTP/1.1 ")
            assert b"Traceback" not in received
