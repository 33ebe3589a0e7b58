"""Switching: a network of which only some sites draw, with the masks that these have when all draw.

A site is off as it is in eval mode. Its module is put in eval mode where none of that module's sites is on;
else the draw is held at the middle of its law: ones for dropout, which is the same to the last bit, half for
a uniform draw, zero for a normal one.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from torch import Tensor, nn

from mcdrop.engine.block import Block
from mcdrop.engine.forcing import middle
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BLOCK
from mcdrop.engine.network import Network, network_of
from mcdrop.engine.recording import Recorder
from mcdrop.engine.replay import BlockDraws
from mcdrop.engine.sampling import Draw, Plan
from mcdrop.engine.sites import Law, SiteKey
from mcdrop.engine.tracing import Trace

__all__ = ["Switched", "sites_fired", "switched", "switched_blocks"]


@dataclass(frozen=True)
class Switched:
    """A network some of whose sites are off.

    Attributes:
        network: The owners of what is off are in eval mode, as far as they own nothing that is on.
        off: The sites that are held if they fire all the same.
    """

    network: Network
    off: frozenset[SiteKey]


def switched(model: nn.Module, traced: Trace, call: Call, on: Collection[SiteKey]) -> Switched:
    """A view of `model` in which the sites `on` draw, and no others.

    Args:
        model: The user's; left as it is.
        traced: What is known of it.
        call: Some rows.
        on: Addresses of the sites that draw.
    """
    off = frozenset(site.key for site in traced.sites) - set(on)
    silent = {key.module for key in off} - {key.module for key in on}
    for owners in (traced.owners - silent, traced.owners):
        network = network_of(model, replace(traced, owners=owners))
        fired = sites_fired(network, call)
        if set(on) <= fired or not traced.fixed:
            break  # else a module in eval mode keeps another one from drawing: all sites are held instead
    kept = {key: site for key, site in network.sites.items() if key in fired or key in on}
    return Switched(replace(network, sites=kept), off)


def sites_fired(network: Network, call: Call) -> set[SiteKey]:
    """Which sites fire for two rows of a call, with natural draws."""
    recorder = Recorder(network.paths)
    with network.inference():
        network.outputs_for(call.take(slice(0, 2)), recorder)
    return {key for key, _ in recorder.fired}


def switched_blocks(
    setting: Switched, plan: Plan, call: Call, draw: Draw, *, rows: slice, blocks: Sequence[int]
) -> list[Tensor]:
    """Samples of some whole blocks for some rows: one tensor (16 x blocks, rows, ...) for each output.

    Args:
        setting: Which sites draw.
        plan: Of the network with all its sites.
        call: All rows.
        draw: The masks.
        rows: Which of them.
        blocks: Numbers of the blocks.
    """
    keys = [draw.keys(number, rows) for number in blocks]
    block = Block(setting.network, call.take(rows), keys, draw.rng, BLOCK * len(keys))
    with block.network.inference():
        return plan.fallback.run(plan.strategy, block, _Held(block, setting.off))


class _Held(BlockDraws):
    """The draws of the sites that are on; those of the others lie in the middle of their law."""

    def __init__(self, block: Block, off: frozenset[SiteKey]) -> None:
        super().__init__(block.network.sites, block.keys, block.rng, block.network.cache)
        self._off = off
        self._samples = block.samples

    def get(self, key: SiteKey, kind: str, law: Law, shape: tuple[int, ...]) -> Tensor:
        """Draws of one site."""
        if key not in self._off:
            return super().get(key, kind, law, shape)
        single = middle(law, (1, *shape)).to(self.device)
        return single.expand(self._samples, *shape)
