"""Functions compiled by torch.compile run as they were written: what is compiled cannot be intercepted."""

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import torch

__all__ = ["compiled_functions_off"]


@contextmanager
def compiled_functions_off() -> Iterator[None]:
    """Run what was compiled uncompiled.

    The switch is one for the whole process, so compiled models of other threads run uncompiled meanwhile, and
    it goes on again when the last thread has left. Nothing happens where nothing was ever compiled.
    """
    if "torch._dynamo" not in sys.modules:
        yield
        return
    _STANCE.enter()
    try:
        yield
    finally:
        _STANCE.leave()


class _Stance:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._before: Any = None

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            if self._inside == 1:
                self._before = torch.compiler.set_stance("force_eager")

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._before.__exit__(None, None, None)


_STANCE: Final = _Stance()
