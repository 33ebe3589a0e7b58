"""The counter-based generator: random words that are addressed, not drawn in turn.

Philox4x64-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"), as NumPy computes it. Only
the raw words of NumPy's bit generator are used, never its `Generator`, whose streams may change between
releases: `tests/mcdrop/engine/test_philox.py` holds golden words.

A stream is named by `StreamKey`; word `i` of a stream is a pure function of the key and of `i`.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from mcdrop.errors import DomainError

__all__ = ["MAX_SEED", "StreamKey", "check_seed", "words"]

MAX_SEED: Final = 2**63 - 1
_WORDS_PER_COUNTER: Final = 4


class StreamKey(NamedTuple):
    """What one stream of random words belongs to; every field is an integer in [0, 2^64)."""

    seed: int
    row: int
    block: int
    site: int


def words(key: StreamKey, count: int, *, start: int = 0) -> NDArray[np.uint64]:
    """Words `start` to `start + count` of a stream.

    Args:
        key: The stream.
        count: How many words.
        start: Index of the first word; a multiple of 4.

    Returns:
        (count,) uint64.

    Raises:
        DomainError: If `start` is not a multiple of 4.
    """
    if start % _WORDS_PER_COUNTER:
        raise DomainError(f"start must be a multiple of {_WORDS_PER_COUNTER}, got {start}")
    counter = np.array([start // _WORDS_PER_COUNTER, key.block, key.site, 0], dtype=np.uint64)
    philox = np.random.Philox(key=np.array([key.seed, key.row], dtype=np.uint64), counter=counter)
    return philox.random_raw(count)


def check_seed(seed: object) -> int:
    """`seed` as an int, if it is one between 0 and 2^63 - 1.

    Raises:
        DomainError: If it is not.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed <= MAX_SEED:
        raise DomainError(f"seed must be an integer between 0 and 2^63 - 1, got {seed!r}")
    return int(seed)
