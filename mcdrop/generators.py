"""The global generators of torch, NumPy and Python: left as they were, and watched."""

import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor

__all__ = ["generators_restored", "moved_generators"]


@contextmanager
def generators_restored() -> Iterator[None]:
    """Put every global generator back to where it was, whatever happens inside."""
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    numpy_state = np.random.get_state()  # noqa: NPY002  the global generator is the one to put back
    python_state = random.getstate()
    with torch.random.fork_rng(devices):
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@contextmanager
def moved_generators() -> Iterator[list[str]]:
    """A list that holds, afterwards, the names of the generators that were drawn from inside."""
    before = _states()
    moved: list[str] = []
    yield moved
    moved += [name for name, state in _states().items() if not _same(before[name], state)]


def _states() -> dict[str, Any]:
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    states: dict[str, Any] = {
        "torch's generator": torch.get_rng_state(),
        "NumPy's generator": (np.asarray(keys).tobytes(), position),
        "Python's random": random.getstate(),
    }
    if torch.cuda.is_initialized():
        states["CUDA's generator"] = torch.cat(torch.cuda.get_rng_state_all())
    return states


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)
