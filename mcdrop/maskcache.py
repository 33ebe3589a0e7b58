"""A bounded store of masks that were drawn already: a seed that comes again costs no draw."""

import threading
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from mcdrop.masks import draw_block
from mcdrop.philox import StreamKey
from mcdrop.sites import Law

__all__ = ["MaskCache"]

_BYTES: Final = 2**26


class MaskCache:
    """Draws blocks of masks as `masks.draw_block` does, and keeps the latest; safe to share between threads.

    Args:
        device: Where the masks are kept.
        limit: Bytes to keep at most; a block that is larger than a quarter of it is not kept.
    """

    def __init__(self, device: torch.device, *, limit: int = _BYTES) -> None:
        self.device = device
        self._limit = limit
        self._size = 0
        self._kept: OrderedDict[tuple[object, ...], Tensor] = OrderedDict()
        self._lock = threading.Lock()

    def draw(self, law: Law, shape: Sequence[int], key: StreamKey, rng: str) -> Tensor:
        """One block of masks, (16, *shape)."""
        address = (law, tuple(shape), key, rng)
        with self._lock:
            if address in self._kept:
                self._kept.move_to_end(address)
                return self._kept[address]
        drawn = draw_block(law, shape, key, rng).to(self.device)
        if drawn.nbytes <= self._limit // 4:
            self._keep(address, drawn)
        return drawn

    def _keep(self, address: tuple[object, ...], drawn: Tensor) -> None:
        with self._lock:
            if address not in self._kept:
                self._kept[address] = drawn
                self._size += drawn.nbytes
            while self._size > self._limit:
                _, dropped = self._kept.popitem(last=False)
                self._size -= dropped.nbytes
