"""How much memory a pass writes and holds, before and after its first random call: a tile is sized by it."""

import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey, draw_one
from mcdrop.engine.network import Network
from mcdrop.engine.operators import Watch
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.replay import BlockDraws, SampleDraws
from mcdrop.engine.sites import Law

__all__ = ["Footprint", "OneSample", "footprint", "keep_freed_memory"]

_LARGEST_KEPT: Final = 2**25 - 2**16
"""Bytes: a little less than the largest block that glibc takes as a measure of those to come."""


@dataclass(frozen=True)
class Footprint:
    """Bytes that one row writes and holds; at least 1.

    Attributes:
        prefix: The largest tensor before the first random call.
        suffix: The largest tensor after it, for each sample.
        masks: All masks, for each sample.
        live_prefix: All tensors that are held at once before the first random call; not parameters or inputs.
        live_suffix: The same after it, for each sample; not the masks.
    """

    prefix: int
    suffix: int
    masks: int
    live_prefix: int = 1
    live_suffix: int = 1


def footprint(network: Network, rows: Call, key: BlockKey) -> tuple[Footprint, list[Tensor]]:
    """Measure one pass of a few rows; what drawing the masks takes does not count.

    Args:
        network: The model.
        rows: A few.
        key: Whose draws the pass gets.

    Returns:
        The measures, and the outputs of that pass under the draws that `key` names.
    """
    block = OneSample(network.sites, [[key]], "philox-1-plain", network.cache)
    with network.inference():  # under no_grad some tensors of a pass live until the garbage is collected
        source = _Noticing(SampleDraws(block, 0, network.paths))
        with _Sizes(source) as sizes:
            outputs = network.outputs_for(rows, source)
    numbers = (sizes.largest[False], sizes.largest[True], source.bytes, sizes.most[False], sizes.most[True])
    return Footprint(*(-(-number // rows.rows) for number in numbers)), outputs


def keep_freed_memory() -> None:
    """Let glibc keep what a tile frees, and not give it back to the system, which clears each page anew.

    It gives back what is free at the end of its heap if that is more than twice the largest block that was
    freed before, at most 64 MiB. This block is freed, and never written to; elsewhere that does nothing.
    """
    torch.empty(_LARGEST_KEPT, dtype=torch.uint8, device="cpu")


class OneSample(BlockDraws):
    """Draws of a single sample, to look at a network."""

    def draw(self, law: Law, shape: Sequence[int], key: StreamKey, _rng: str) -> Tensor:
        """(1, *shape)."""
        return draw_one(law, shape, key).unsqueeze(0)


class _Noticing:
    """A source that notices whether it was asked."""

    def __init__(self, source: SampleDraws) -> None:
        self._source = source
        self.asked = False
        self.drawing = False
        self.bytes = 0

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        self.asked = self.drawing = True
        try:
            drawn = self._source.draw(kind, p, law, shape)
        finally:
            self.drawing = False
        self.bytes += drawn.nbytes
        return drawn


class _Sizes(Watch):
    """Watches the tensors that a pass makes: the largest, and the most that live at once."""

    def __init__(self, source: _Noticing) -> None:
        super().__init__()
        self._source = source
        self._alive: dict[int, int] = {}
        self._live = 0
        self.largest = {False: 1, True: 1}
        self.most = {False: 1, True: 1}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if not self._source.drawing and not getattr(func, "is_view", False):  # a view writes nothing
            for tensor in pytree.tree_leaves(out):
                if isinstance(tensor, Tensor):
                    self._note(tensor)
        return out

    def _note(self, tensor: Tensor) -> None:
        after, storage = self._source.asked, tensor.untyped_storage()
        self.largest[after] = max(tensor.nbytes, self.largest[after])
        if id(storage) not in self._alive:
            self._alive[id(storage)] = storage.nbytes()
            self._live += storage.nbytes()
            weakref.finalize(storage, self._gone, id(storage))
        self.most[after] = max(self._live, self.most[after])

    def _gone(self, storage: int) -> None:
        self._live -= self._alive.pop(storage)
