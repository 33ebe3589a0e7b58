"""The names of torch's vmap machinery that are not public, in this one place."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from torch import Tensor
from torch._C import _functorch

__all__ = ["has_sample_axis", "inside_vmap", "without_fallback_warnings"]


def has_sample_axis(tensor: Tensor) -> bool:
    """Whether a tensor seen inside of vmap differs between its samples."""
    return bool(_functorch.is_batchedtensor(tensor))


def inside_vmap() -> bool:
    """Whether the code that runs is being mapped by vmap."""
    level = _functorch.maybe_current_level()
    return level is not None and _functorch.peek_interpreter_stack().key() == _functorch.TransformType.Vmap


@contextmanager
def without_fallback_warnings() -> Iterator[None]:
    """Switches off what vmap says of operators without a batching rule: how fast a strategy is, is measured.

    The switch is one for the whole process, so it goes on again when the last thread has left.
    """
    _QUIET.enter()
    try:
        yield
    finally:
        _QUIET.leave()


class _Quiet:
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0

    def enter(self) -> None:
        with self._lock:
            self._inside += 1
            _warn_of_fallbacks(on=False)

    def leave(self) -> None:
        with self._lock:
            self._inside -= 1
            _warn_of_fallbacks(on=self._inside == 0)


def _warn_of_fallbacks(*, on: bool) -> None:
    _functorch._set_vmap_fallback_warning_enabled(on)  # type: ignore[attr-defined]  # noqa: SLF001


_QUIET: Final = _Quiet()
