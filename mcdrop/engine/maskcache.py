"""A bounded store of masks that were drawn already: a seed that comes again costs no draw."""

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from typing import Any, Final, TypeVar

import torch
from torch import Tensor

from mcdrop.engine.masks import draw_block
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.sites import Law
from mcdrop.errors import DomainError

__all__ = ["BESIDE", "MASK_BYTES", "MaskCache", "MaskCaches"]

MASK_BYTES: Final = 2**26
"""What masks that are kept may take unless it is said otherwise."""
BESIDE: Final = 2**11
"""Bytes that Python and the allocator keep around each tensor and its address, as measured."""
_SMALL: Final = 2**18
"""Bytes of joined blocks that are kept at once: below it, joining them costs more than keeping them twice."""

_REMEMBERED: Final = 4096
"""Addresses of which it is known that they came once."""

_Masks = TypeVar("_Masks", Tensor, tuple[Tensor, ...])


class MaskCache:
    """Draws blocks of masks as `masks.draw_block` does, and keeps the latest; safe to share between threads.

    On CUDA each stream has its own: one does not wait for what another is still joining.

    Args:
        device: Where the masks are kept.
        limit: Bytes to keep at most, with what Python keeps around each mask; a block that is larger than a
            quarter of it is not kept.
    """

    def __init__(self, device: torch.device, *, limit: int = MASK_BYTES) -> None:
        self.device = device
        self._on_cuda = device.type == "cuda"
        self._limit = self._first_limit = limit
        self._size = 0
        self._kept: OrderedDict[Hashable, Tensor | tuple[Tensor, ...]] = OrderedDict()
        self._came: set[int] = set()
        self._lock = threading.Lock()

    @property
    def limit(self) -> int:
        """Bytes that are kept at most."""
        return self._limit

    def bound(self, most: int | None) -> None:
        """Keep at most so many bytes from now on, or again as many as at first (None)."""
        limit = self._first_limit if most is None else min(most, self._first_limit)
        if limit != self._limit:
            with self._lock:
                self._limit = limit
                self._drop_oldest()

    def draw(self, law: Law, shape: Sequence[int], key: StreamKey, rng: str) -> Tensor:
        """One block of masks, (16, *shape)."""
        return self._found_or_made(
            self._own((law, tuple(shape), key, rng)),
            lambda: draw_block(law, shape, key, rng).to(self.device),
            self._limit // 4,
        )

    def joined(self, address: Hashable, make: Callable[[], Tensor], *, copies: bool) -> Tensor:
        """Several blocks side by side, as the network takes them.

        Large ones are kept from the second time on, while there is room for them beside all that is kept.

        Args:
            address: All that they depend on.
            make: Draws and joins them, if they are not kept yet.
            copies: Whether joining copies them; else there is little to save.
        """
        address = self._own(address)
        most = min(_SMALL, self._limit // 4)
        if copies and self._came_before(address):
            most = max(most, self._limit - self._size)
        return self._found_or_made(address, make, most)

    def several(self, address: Hashable, make: Callable[[], tuple[Tensor, ...]]) -> tuple[Tensor, ...]:
        """The masks of several sites, kept from the second time on: what comes once would push others out.

        Args:
            address: All that they depend on.
            make: Draws them, if they are not kept yet.
        """
        address = self._own(address)
        kept: tuple[Tensor, ...] | None = self._found(address)
        if kept is not None:
            return kept
        most = self._limit // 16 if self._came_before(address) else -1
        return self._made(address, make, most)

    def _own(self, address: Hashable) -> Hashable:
        """The address among those of this stream."""
        if not self._on_cuda:
            return address
        return torch.cuda.current_stream(self.device).cuda_stream, address

    def _came_before(self, address: Hashable) -> bool:
        if address in self._kept:
            return True
        came, number = self._came, hash(address)
        if number in came:
            return True
        if len(came) >= _REMEMBERED:
            self._came = came = set()
        came.add(number)
        return False

    def _found_or_made(self, address: Hashable, make: Callable[[], _Masks], most: int) -> _Masks:
        kept: _Masks | None = self._found(address)
        return self._made(address, make, most) if kept is None else kept

    def _found(self, address: Hashable) -> Any:
        """The masks that are kept of an address; None if none are."""
        with self._lock:
            kept = self._kept.get(address)
            if kept is not None:
                self._kept.move_to_end(address)
        return kept

    def _made(self, address: Hashable, make: Callable[[], _Masks], most: int) -> _Masks:
        drawn = make()
        if _size(drawn) <= most:
            self._keep(address, drawn)
        return drawn

    def _keep(self, address: Hashable, drawn: Tensor | tuple[Tensor, ...]) -> None:
        with self._lock:
            if address not in self._kept:
                self._kept[address] = drawn
                self._size += _size(drawn)
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        while self._size > self._limit:
            _, dropped = self._kept.popitem(last=False)
            self._size -= _size(dropped)


class MaskCaches:
    """One `MaskCache` for each device, for all input signatures of a model.

    Args:
        limit: Bytes that each keeps at most.

    Raises:
        DomainError: If that is negative, or no whole number.
    """

    def __init__(self, limit: int = MASK_BYTES) -> None:
        if type(limit) is not int or limit < 0:
            raise DomainError(f"mask_cache must be a number of bytes, such as 2**26, or 0, got {limit!r}")
        self._limit = limit
        self._found: dict[torch.device, MaskCache] = {}

    def on(self, device: torch.device) -> MaskCache:
        """That of a device."""
        if device not in self._found:
            self._found[device] = MaskCache(device, limit=self._limit)
        return self._found[device]

    def clear(self) -> None:
        """Forget all masks, and on which devices they were."""
        self._found.clear()


def _size(drawn: Tensor | tuple[Tensor, ...]) -> int:
    tensors = (drawn,) if isinstance(drawn, Tensor) else drawn
    return sum(each.nbytes + BESIDE for each in tensors)
