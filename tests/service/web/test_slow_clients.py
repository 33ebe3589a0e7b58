"""Many clients that are slow on purpose, and one that is not."""

from contextlib import ExitStack

from tests.support.wire import Server, connected, post

PATH = "/v1/models/toy/predict"
BODY = {"inputs": [[1, 2, 3]], "outputs": ["mean"]}
HALVES = (
    b"",
    b"POST " + PATH.encode(),
    b"POST " + PATH.encode() + b" HTTP/1.1\r\nhost: x\r\n",
    b"POST " + PATH.encode() + b' HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"inputs": [[1,',
)


def test_others_are_answered_while_many_clients_are_slow(server: Server) -> None:
    with ExitStack() as held:
        slow = [held.enter_context(connected(server)) for _ in range(25) for _ in HALVES]
        for number, connection in enumerate(slow):
            connection.sendall(HALVES[number % len(HALVES)])
        for _ in range(10):
            answer = post(server, PATH, BODY)
            assert (answer.status, answer.document["outputs"]) == (200, {"mean": [[2.0, 4.0, 6.0]]})
        for connection in slow:  # and in the end each of them is told so, or cut off
            while connection.recv(4096):
                pass
