"""How much memory something takes while it runs."""

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = ["at_most"]


@contextmanager
def at_most(size_bytes: int) -> Iterator[None]:
    """Fail if what is done takes more, beside what was there before."""
    tracemalloc.start()
    try:
        yield
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < size_bytes
