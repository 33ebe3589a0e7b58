"""Switches of the whole process, by one that notes what is done to it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from mcdrop.engine.processwide import ProcessWide


def test_it_is_turned_once_and_back_when_the_last_thread_has_left() -> None:
    done: list[str] = []

    @contextmanager
    def switch() -> Iterator[None]:
        done.append("turned")
        yield
        done.append("back")

    wide, inside, leave = ProcessWide(switch), threading.Event(), threading.Event()

    def stays() -> None:
        with wide.held():
            inside.set()
            leave.wait(10)

    other = threading.Thread(target=stays)
    with suppress(KeyError), wide.held():
        other.start()
        inside.wait(10)
        raise KeyError
    assert done == ["turned"]
    leave.set()
    other.join()
    assert done == ["turned", "back"]
    with wide.held():
        assert done == ["turned", "back", "turned"]
