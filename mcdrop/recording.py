"""One pass that writes down its sites: who asked for which draw, while which modules were running."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from mcdrop.inputs import Call
from mcdrop.masks import draw_block
from mcdrop.philox import StreamKey
from mcdrop.replay import Addresses, run
from mcdrop.sites import Law, Site, SiteKey, site_id
from mcdrop.view import ModulePaths

__all__ = ["Answer", "Recorder", "natural", "recorded"]

Answer = Callable[[Site], Tensor]
"""Makes the draw of a site that fires, by its law and shape."""


def natural(site: Site) -> Tensor:
    """A real draw, the same in every pass."""
    stream = StreamKey(0, 0, 0, site_id(site.key, site.kind))
    return draw_block(site.law, site.shape, stream, "philox-1-plain")[0]


@dataclass
class Recorder:
    """A source that writes down the sites that fire.

    Attributes:
        paths: The running modules.
        answer: Makes the draws.
        sites: In the order in which they fired; their row axis is not known yet.
        stacks: For each of them, the paths of the modules that were running.
    """

    paths: ModulePaths
    answer: Answer = natural
    sites: list[Site] = field(default_factory=list)
    stacks: list[tuple[str, ...]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._addresses = Addresses(self.paths)

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        """The draw of the site that is firing."""
        site = Site(self._addresses.next(), kind, p, law, shape)
        self.sites.append(site)
        self.stacks.append(tuple(self.paths.running))
        return self.answer(site)

    @property
    def fired(self) -> list[tuple[SiteKey, str]]:
        """Address and kind of each site, in order."""
        return [(site.key, site.kind) for site in self.sites]


def recorded(
    view: nn.Module, paths: ModulePaths, call: Call, answer: Answer = natural
) -> tuple[Recorder, Any]:
    """One pass: what fired, and what the model returned."""
    recorder = Recorder(paths, answer)
    return recorder, run(view, paths, call, recorder)
