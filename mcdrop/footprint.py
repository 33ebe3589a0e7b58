"""How much memory a pass writes, before and after its first random call: a tile is sized by it."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from mcdrop.inputs import Call
from mcdrop.masks import BlockKey
from mcdrop.network import Network
from mcdrop.replay import BlockDraws, SampleDraws
from mcdrop.sites import Law

__all__ = ["Footprint", "footprint"]


@dataclass(frozen=True)
class Footprint:
    """Bytes that one row writes; at least 1.

    Attributes:
        prefix: The largest tensor before the first random call.
        suffix: The largest tensor after it, for each sample.
        masks: All masks, for each sample.
    """

    prefix: int
    suffix: int
    masks: int


def footprint(network: Network, rows: Call) -> Footprint:
    """Measure one pass of a few rows."""
    block = BlockDraws(network.sites, [[BlockKey(0, 0, 0)]], "philox-1-plain", network.cache)
    with torch.no_grad():
        # a first pass makes the draws, so that the second one, under the watch, makes none
        network.outputs_for(rows, SampleDraws(block, 0, network.paths))
        source = _Noticing(SampleDraws(block, 0, network.paths))
        with _Sizes(source) as sizes:
            network.outputs_for(rows, source)
    prefix, suffix = (-(-sizes.largest[after] // rows.rows) for after in (False, True))
    return Footprint(prefix, suffix, source.bytes // rows.rows)


class _Noticing:
    """A source that notices whether it was asked."""

    def __init__(self, source: SampleDraws) -> None:
        self._source = source
        self.asked = False
        self.bytes = 0

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        self.asked = True
        drawn = self._source.draw(kind, p, law, shape)
        self.bytes += drawn.nbytes
        return drawn


class _Sizes(TorchDispatchMode):
    def __init__(self, source: _Noticing) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._source = source
        self.largest = {False: 1, True: 1}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        size = out.nbytes if isinstance(out, Tensor) and not func.is_view else 0  # a view writes nothing
        self.largest[self._source.asked] = max(size, self.largest[self._source.asked])
        return out
