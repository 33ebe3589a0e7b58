"""Switches of the whole process: turned when a first thread enters, and back when the last one has left."""

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

__all__ = ["ProcessWide"]


class ProcessWide:
    """What is entered once for all threads that are inside.

    Args:
        switch: Makes it.
    """

    def __init__(self, switch: Callable[[], AbstractContextManager[Any]]) -> None:
        self._switch = switch
        self._lock = threading.Lock()
        self._inside = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, the switch is turned."""
        with self._lock:
            if not self._inside:
                self._turned = self._switch()
                self._turned.__enter__()
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._turned.__exit__(None, None, None)
