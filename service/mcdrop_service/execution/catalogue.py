"""What is served: versions of models, exchanged whole: a request sees the old or the new."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from mcdrop_service.errors import NotFoundError, shown
from mcdrop_service.execution.health import Health
from mcdrop_service.execution.servable import Lane, Servable
from mcdrop_service.facts import ModelFacts

__all__ = ["Catalogue", "Served"]

MAX_LANES = 256


@dataclass(eq=False)
class Served:
    """One version of a model that has answered its warm-up.

    It is held by the requests that it works for: one that was exchanged finishes them and is then forgotten.

    Attributes:
        model: Answers.
        facts: What is known of it.
        lanes: How requests share batches, by input signature; the oldest are forgotten.
        before: Serials of the lanes, by input signature, of what was served in its place.
        health: Whether it is fit to be asked.
    """

    model: Servable
    facts: ModelFacts
    lanes: dict[Hashable, Lane] = field(default_factory=dict)
    before: Mapping[Hashable, int] = field(default_factory=dict)
    health: Health = field(init=False)

    def __post_init__(self) -> None:
        self.health = Health(self.facts.name, self.model.probe)

    def remember(self, signature: Hashable, lane: Lane) -> None:
        """Note how requests of a signature share batches."""
        if len(self.lanes) >= MAX_LANES:
            del self.lanes[next(iter(self.lanes))]
        self.lanes[signature] = lane

    def follow(self, other: "Served") -> None:
        """Note the lanes of what it takes the place of: what they take is what is known of its own."""
        serials = {**other.before, **{signature: lane.serial for signature, lane in other.lanes.items()}}
        self.before = dict(list(serials.items())[-MAX_LANES:])


class Catalogue:
    """The served versions by name. Changed and read in the event loop only."""

    def __init__(self) -> None:
        self._models: dict[str, dict[str, Served]] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """Of all models, in the order in which they came."""
        return tuple(self._models)

    @property
    def all(self) -> tuple[Served, ...]:
        """Every version of every model."""
        return tuple(served for versions in self._models.values() for served in versions.values())

    def versions(self, name: str) -> tuple[str, ...]:
        """Of one model, the lowest first.

        Raises:
            NotFoundError: If there is no such model.
        """
        if name not in self._models:
            known = ", ".join(self._models) or "none"
            raise NotFoundError(f"unknown model {shown(name)}; this service has {known}")
        return tuple(self._models[name])

    def find(self, name: str, version: str | None = None) -> Served:
        """A version of a model; the highest unless one is named.

        Raises:
            NotFoundError: If there is no such model or version.
        """
        known = self.versions(name)
        if version is not None and version not in known:
            raise NotFoundError(f"{name} has no version {shown(version)}; it has {', '.join(known)}")
        return self._models[name][version or known[-1]]

    def exchange(self, name: str, served: Sequence[Served]) -> None:
        """Put all versions of a model in the place of those that were there; none takes it away.

        Args:
            name: Of the model.
            served: In any order.
        """
        ordered = sorted(served, key=lambda each: int(each.facts.version))
        if name in self._models:
            versions = self._models[name]
            highest = next(reversed(versions.values()))
            for each in ordered:
                each.follow(versions.get(each.facts.version, highest))
        if ordered:
            self._models[name] = {each.facts.version: each for each in ordered}
        else:
            self._models.pop(name, None)
