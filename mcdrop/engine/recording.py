"""One pass that writes down its sites: who asked for which draw, while which modules were running."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from torch import Tensor, nn

from mcdrop.engine.functorch import inside_vmap
from mcdrop.engine.inputs import Call
from mcdrop.engine.interception.dropout import HANDLERS as _DROPOUT
from mcdrop.engine.interception.mode import Interception
from mcdrop.engine.masks import draw_one
from mcdrop.engine.philox import StreamKey
from mcdrop.engine.replay import Addresses, run
from mcdrop.engine.sites import Law, Site, SiteKey, site_id
from mcdrop.engine.view import ModulePaths
from mcdrop.errors import UnsupportedModelError

__all__ = ["Answer", "Noting", "Recorder", "Silent", "TooManyDrawsError", "natural", "recorded"]

Answer = Callable[[Site], Tensor]
"""Makes the draw of a site that fires, by its law and shape."""


def natural(site: Site) -> Tensor:
    """A real draw, the same in every pass."""
    stream = StreamKey(0, 0, 0, site_id(site.key, site.kind))
    return draw_one(site.law, site.shape, stream)


class TooManyDrawsError(UnsupportedModelError):
    """A pass makes more random calls than any network does that ends."""


class Silent(NamedTuple):
    """A call of dropout that is switched off.

    Attributes:
        module: Path of the module that makes it.
        what: Is called, and with which rate.
    """

    module: str
    what: str

    def __str__(self) -> str:
        """In a few words."""
        return f"{self.module or '(model)'} ({self.what})"


@dataclass
class Recorder:
    """A source that writes down the sites that fire.

    Attributes:
        paths: The running modules.
        answer: Makes the draws.
        sites: In the order in which they fired; their row axis is not known yet.
        stacks: For each of them, the paths of the modules that were running.
        silent: Calls of dropout that were switched off, if the pass ran under `Noting`.
        most: How many sites may fire: a loop that waits for some draw may never end under a forced one.
    """

    paths: ModulePaths
    answer: Answer = natural
    sites: list[Site] = field(default_factory=list)
    stacks: list[tuple[str, ...]] = field(default_factory=list)
    silent: list[Silent] = field(default_factory=list)
    most: int = 10_000

    def __post_init__(self) -> None:
        self._addresses = Addresses(self.paths)

    def draw(self, kind: str, p: float | None, law: Law, shape: tuple[int, ...]) -> Tensor:
        """The draw of the site that is firing."""
        site = Site(self._addresses.next(), kind, p, law, shape)
        if len(self.sites) >= self.most:
            raise TooManyDrawsError(f"{site.name} is one of more than {self.most} random calls in one pass")
        if inside_vmap():
            raise UnsupportedModelError(
                f"{site.name} ({kind}) is a random call inside torch.func.vmap, whose mapped axis cannot be "
                "seen; draw before the vmap and map over the draw"
            )
        self.sites.append(site)
        self.stacks.append(tuple(self.paths.running))
        return self.answer(site)

    @property
    def fired(self) -> list[tuple[SiteKey, str]]:
        """Address and kind of each site, in order."""
        return [(site.key, site.kind) for site in self.sites]


class Noting(Interception):
    """The interception, noting which calls of dropout are switched off by their argument."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if func in _DROPOUT:
            self._note(func, args, kwargs or {})
        return super().__torch_function__(func, types, args, kwargs)

    def _note(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = {**dict(zip(("input", "p", "training", "inplace"), args, strict=False)), **kwargs}
        rate, on = given.get("p", 0.5), given.get("training", given.get("train", True))
        if rate > 0 and on is False and isinstance(self._source, Recorder):
            self._source.silent.append(Silent(self.place(), f"{func.__name__}, p = {rate}"))


def recorded(
    view: nn.Module, paths: ModulePaths, call: Call, answer: Answer = natural
) -> tuple[Recorder, Any]:
    """One pass: what fired, and what the model returned."""
    recorder = Recorder(paths, answer)
    return recorder, run(view, paths, call, recorder)
