"""The global generators of torch, NumPy and Python: left as they were, and watched."""

import random
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "OUTSIDE",
    "TORCH",
    "generator_states",
    "generators_restored",
    "generators_set",
    "moved_generators",
    "moved_since",
    "put_back",
]


TORCH: Final = "torch's generator"
OUTSIDE: Final = ("NumPy's generator", "Python's random")
"""Generators whose draws cannot be replayed."""
_CUDA: Final = "CUDA's generator"
_ONE_AT_A_TIME: Final = threading.RLock()


@contextmanager
def generators_restored() -> Iterator[None]:
    """Put every global generator back to where it was, whatever happens inside.

    Threads wait for each other: one could not put back what another moved meanwhile.
    """
    devices = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices):
        numpy_state = np.random.get_state()  # noqa: NPY002  the global generator is the one to put back
        python_state = random.getstate()
        try:
            yield
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)


@contextmanager
def moved_generators() -> Iterator[list[str]]:
    """A list that holds, afterwards, the names of the generators that were drawn from inside."""
    before = generator_states()
    moved: list[str] = []
    yield moved
    moved += moved_since(before)


def moved_since(before: Mapping[str, Any]) -> list[str]:
    """Names of the generators that are no longer where they were.

    Args:
        before: What `generator_states` told.
    """
    now = generator_states()  # with that of a device which was used for the first time meanwhile
    return [name for name, state in before.items() if not _same(state, now[name])]


def put_back(before: Mapping[str, Any]) -> None:
    """Put torch's generators back.

    Args:
        before: What `generator_states` told.
    """
    torch.set_rng_state(before[TORCH])
    if _CUDA in before:
        torch.cuda.set_rng_state_all(list(before[_CUDA]))


def generators_set(seed: int) -> None:
    """Put torch's generators and those of NumPy and Python to a known place.

    Passes that start at different places show a model that seeds a generator itself, always with the same.
    """
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)
    np.random.seed(seed)  # noqa: NPY002 - the global generator is the one that models seed
    random.seed(seed)


def generator_states() -> dict[str, Any]:
    """Where each global generator stands, by name."""
    _, keys, position, *_ = np.random.get_state()  # noqa: NPY002
    states: dict[str, Any] = {
        TORCH: torch.get_rng_state(),
        OUTSIDE[0]: (np.asarray(keys).tobytes(), position),
        OUTSIDE[1]: random.getstate(),
    }
    if torch.cuda.is_initialized():
        states[_CUDA] = torch.stack(torch.cuda.get_rng_state_all())
    return states


def _same(a: Any, b: Any) -> bool:
    return torch.equal(a, b) if isinstance(a, Tensor) else bool(a == b)
