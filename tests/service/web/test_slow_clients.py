"""Many clients that are slow on purpose, and one that is not."""

from contextlib import ExitStack
from socket import socket

from tests.service.holding import PREDICT, asking
from tests.support.wire import Server, connected, post

HALVES = (
    b"",
    b"POST " + PREDICT.encode(),
    b"POST " + PREDICT.encode() + b" HTTP/1.1\r\nhost: x\r\n",
    b"POST " + PREDICT.encode() + b' HTTP/1.1\r\nhost: x\r\ncontent-length: 500\r\n\r\n{"inputs": [[1,',
)


def slow_clients(server: Server, held: ExitStack) -> list[socket]:
    """A hundred of them, each in the middle of what it wants to say."""
    clients = [held.enter_context(connected(server)) for _ in range(25) for _ in HALVES]
    for number, client in enumerate(clients):
        client.sendall(HALVES[number % len(HALVES)])
    return clients


def test_others_are_answered_while_many_clients_are_slow(server: Server) -> None:
    with ExitStack() as held:
        slow_clients(server, held)
        for _ in range(10):
            answer = post(server, PREDICT, asking(1, 2, 3))
            assert (answer.status, answer.document["outputs"]) == (200, {"mean": [[2.0, 4.0, 6.0]]})


def test_in_the_end_each_of_them_is_told_so_or_cut_off(hasty: Server) -> None:
    with ExitStack() as held:
        for client in slow_clients(hasty, held):
            while client.recv(4096):
                pass
