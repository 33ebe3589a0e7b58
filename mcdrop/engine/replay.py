"""One forward pass of a view, with its random calls answered by a source of draws."""

from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mcdrop.engine.eager import compiled_functions_off
from mcdrop.engine.inputs import Call
from mcdrop.engine.interception.mode import DrawSource, Handler, Interception
from mcdrop.engine.interception.table import HANDLERS
from mcdrop.engine.interception.whole import among_copies
from mcdrop.engine.maskcache import MaskCache
from mcdrop.engine.masks import BlockKey, draw_block, draw_site
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.sites import Law, Site, SiteKey
from mcdrop.engine.view import ModulePaths
from mcdrop.errors import UnsupportedModelError

__all__ = ["Addresses", "BlockDraws", "GivenDraws", "ModeFactory", "OtherShapeError", "SampleDraws", "run"]


ModeFactory = Callable[
    [DrawSource, dict[Any, Handler], Callable[[], str], Callable[[], Tensor | None]], Interception
]
"""Makes the mode under which a pass runs: `Interception`, or one that does more."""


def run(
    view: nn.Module,
    paths: ModulePaths,
    call: Call,
    source: DrawSource,
    mode: ModeFactory = Interception,
    *,
    least_rows: int = 1,
) -> Any:
    """What the model returns for `call`, with draws from `source`; see `Network.least_rows`."""
    paths.clear()
    args, kwargs = call.arguments()
    handlers = HANDLERS if least_rows == 1 else HANDLERS | {F.linear: among_copies(least_rows)}
    with compiled_functions_off(), mode(source, handlers, paths.innermost, paths.row_order):
        return view(*args, **kwargs)


class Addresses:
    """Gives each random call of one pass its address: the innermost module and a count."""

    def __init__(self, paths: ModulePaths) -> None:
        self._paths = paths
        self._calls: Counter[str] = Counter()

    def next(self) -> SiteKey:
        """The address of the call that is being made."""
        module = self._paths.innermost()
        key = SiteKey(module, self._calls[module])
        self._calls[module] += 1
        return key


class BlockDraws:
    """The draws of blocks of 16 samples for the rows of one batch, made when first asked for.

    Args:
        sites: What is known of the sites.
        keys: For each block: the key of each row, or a single one if rows share their masks.
        rng: Name of the generator.
        cache: Draws what all rows share, and keeps it; on the device of the network.
    """

    def __init__(
        self, sites: dict[SiteKey, Site], keys: Sequence[Sequence[BlockKey]], rng: str, cache: MaskCache
    ) -> None:
        self._sites = sites
        self._keys = keys
        self._rng = rng
        self._cache = cache
        self._drawn: dict[Any, Tensor] = {}
        self._shared = not any(key.row for block in keys for key in block)

    @property
    def device(self) -> torch.device:
        """Where the draws are wanted."""
        return self._cache.device

    def get(self, key: SiteKey, kind: str, law: Law, shape: tuple[int, ...]) -> Tensor:
        """Draws of one site: (16 x blocks, *shape), or a shape that broadcasts to it.

        Raises:
            UnsupportedModelError: If the trace did not see such a site.
        """
        address = (key, kind, law, shape)
        if address not in self._drawn:
            self._drawn[address] = self._remembered(self._known(key, kind, shape), law, shape)
        return self._drawn[address]

    def _remembered(self, site: Site, law: Law, shape: tuple[int, ...]) -> Tensor:
        """What all rows share, kept as it is wanted, if they share it."""
        make = partial(self._joined, site, law, shape)
        if len(self._keys[0]) > 1 or site.row_factor > 1:
            return make()
        keys = tuple(key for (key,) in self._keys)
        name = (site.key, site.kind, site.row_axis)  # which for other inputs can be others
        address = (type(self), name, law, site.row_shape(shape), keys, self._rng)
        return self._cache.joined(address, make, copies=len(keys) > 1)

    def _joined(self, site: Site, law: Law, shape: tuple[int, ...]) -> Tensor:
        blocks = [draw_site(site, law, shape, keys, self._rng, draw=self.draw) for keys in self._keys]
        return (blocks[0] if len(blocks) == 1 else torch.cat(blocks)).to(self.device)

    def _known(self, key: SiteKey, kind: str, shape: tuple[int, ...]) -> Site:
        site = self._sites.get(key)
        if site is None or site.kind != kind or len(site.shape) != len(shape):
            raise _unknown(key, kind, shape)
        return site

    def draw(self, law: Law, shape: Sequence[int], key: StreamKey, rng: str) -> Tensor:
        """One block of masks; kept for the next call, on the device, unless rows have their own."""
        draw = self._cache.draw if self._shared else draw_block
        return draw(law, shape, key, rng)


class SampleDraws:
    """The draws of one sample out of its block."""

    def __init__(self, block: BlockDraws, sample: int, paths: ModulePaths) -> None:
        self._block = block
        self._sample = sample
        self._addresses = Addresses(paths)

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """The draw of the site that is firing."""
        return self._block.get(self._addresses.next(), kind, law, shape)[self._sample]


class GivenDraws:
    """Draws that were made beforehand, by address.

    Args:
        draws: Of one sample.
        sites: By whose laws they were made.
        shapes: For which they were made.
        paths: The running modules.
    """

    def __init__(
        self,
        draws: dict[SiteKey, Tensor],
        sites: dict[SiteKey, Site],
        shapes: dict[SiteKey, tuple[int, ...]],
        paths: ModulePaths,
    ) -> None:
        self._draws = draws
        self._sites = sites
        self._shapes = shapes
        self._addresses = Addresses(paths)

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:  # noqa: ARG002
        """The draw of the site that is firing.

        Raises:
            UnsupportedModelError: If the trace did not see such a site.
            OtherShapeError: If the site wants another shape, as it may where that follows the data.
        """
        key = self._addresses.next()
        site = self._sites.get(key)
        if site is None or (site.kind, site.law) != (kind, law):
            raise _unknown(key, kind, shape)
        if self._shapes[key] != shape:
            raise OtherShapeError(key, shape)
        return self._draws[key]


def _unknown(key: SiteKey, kind: str, shape: tuple[int, ...]) -> UnsupportedModelError:
    return UnsupportedModelError(
        f"{key} makes a random call ({kind}, shape {shape}) that was not made, or not so, when the model was "
        "traced; which calls it makes must not depend on the data or on its weights, and where a layer may "
        "be skipped (LayerDrop), what it draws must belong to a module of its own, to keep its address"
    )


class OtherShapeError(UnsupportedModelError):
    """A site wants draws of another shape than was traced.

    Attributes:
        key: The site.
        shape: What it wants.
    """

    def __init__(self, key: SiteKey, shape: tuple[int, ...]) -> None:
        super().__init__(f"the mask of {key} has shape {shape}, and had another when the model was traced")
        self.key = key
        self.shape = shape
