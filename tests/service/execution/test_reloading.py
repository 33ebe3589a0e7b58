"""Models exchanged while others serve: what is gone, what is damaged, and in which order changes are made."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
from mcdrop_service.errors import BadRequestError, NotReadyError
from mcdrop_service.execution import Engine, Reloader, Repository, Servable
from mcdrop_service.facts import ModelFacts
from mcdrop_service.scheduler import QueueLimits

from mcdrop.errors import CheckpointError
from tests.service.fake_server import FakeModel
from tests.support.wire import PATIENCE_S


class Named(FakeModel):
    """Tells which one it is."""

    def __init__(self, digest: str, *, broken: bool = False) -> None:
        super().__init__(broken=broken)
        self.digest = digest

    def warm_up(self) -> ModelFacts:
        return replace(super().warm_up(), digest=self.digest)


class Shelf:
    """A repository of models that need no files; what is an error is raised."""

    def __init__(self, **models: Named | Exception) -> None:
        self.models: Mapping[str, Named | Exception] = models
        self.away = False
        self.begun, self.release = threading.Event(), threading.Event()
        self.release.set()

    def wanted(self) -> dict[str, Path]:
        if self.away:
            raise CheckpointError("the volume is away")
        return dict.fromkeys(self.models, Path())

    def load(self, name: str) -> list[Named]:
        self.begun.set()
        self.release.wait()
        found = self.models[name]
        if isinstance(found, Exception):
            raise found
        return [found]


def reloaded(
    shelf: Shelf, change: Callable[[Reloader], Awaitable[None]]
) -> tuple[dict[str, str], list[object]]:
    """What is served after a change, of what `a` and `b` were before; and what was told of each attempt."""
    told: list[object] = []

    def note(name: str, *, well: bool) -> None:
        told.append((name, well))

    async def main() -> dict[str, str]:
        models = {name: [cast("Servable", Named(f"old {name}"))] for name in "ab"}
        engine = Engine(models, QueueLimits(10, 10), lambda *_: None)
        await engine.start()
        try:
            await change(Reloader(engine, cast("Repository", shelf), note))
            return {name: engine.facts(name).digest for name in engine.names}
        finally:
            shelf.release.set()
            engine.stop()

    return asyncio.run(asyncio.wait_for(main(), PATIENCE_S)), told


@pytest.mark.parametrize("damage", [CheckpointError("torn"), ImportError("gone"), Named("dead", broken=True)])
def test_what_is_damaged_keeps_its_old_model_and_keeps_no_other_from_being_loaded(
    damage: Named | Exception,
) -> None:
    shelf = Shelf(b=damage, c=Named("new c"))
    served, told = reloaded(shelf, lambda reloader: reloader.refresh())
    assert served == {"b": "old b", "c": "new c"}
    assert told == [("b", False), ("c", True)]


def test_a_repository_that_is_away_takes_nothing_away() -> None:
    shelf = Shelf()
    shelf.away = True

    async def change(reloader: Reloader) -> None:
        await reloader.refresh()
        assert await reloader.unserved() == []
        with pytest.raises(NotReadyError, match="the service's log says why"):
            await reloader.load("a")

    assert reloaded(shelf, change) == ({"a": "old a", "b": "old b"}, [])


def test_what_is_not_served_yet_is_told_and_what_was_unloaded_too() -> None:
    async def change(reloader: Reloader) -> None:
        assert await reloader.unserved() == ["c"]
        await reloader.unload("a")
        assert await reloader.unserved() == ["a", "c"]

    served, _ = reloaded(Shelf(a=Named("a"), b=Named("b"), c=Named("c")), change)
    assert served == {"b": "old b"}


def test_changes_are_made_one_after_the_other_in_the_order_in_which_they_were_asked_for() -> None:
    shelf = Shelf(a=Named("new a"), b=Named("new b"))
    shelf.release.clear()

    async def change(reloader: Reloader) -> None:
        loading = asyncio.create_task(reloader.load("a"))
        await asyncio.to_thread(shelf.begun.wait)
        unloading = asyncio.create_task(reloader.unload("a"))
        await asyncio.sleep(0)
        shelf.release.set()
        await asyncio.gather(loading, unloading)

    assert reloaded(shelf, change) == ({"b": "old b"}, [("a", True)])


def test_of_all_that_ask_for_everything_anew_while_it_is_read_one_waits_for_its_turn() -> None:
    shelf = Shelf(a=Named("new a"), b=Named("new b"))
    shelf.release.clear()

    async def change(reloader: Reloader) -> None:
        refreshing = [asyncio.create_task(reloader.refresh())]
        await asyncio.to_thread(shelf.begun.wait)
        refreshing += [asyncio.create_task(reloader.refresh()) for _ in range(50)]
        await asyncio.sleep(0)
        shelf.release.set()
        await asyncio.gather(*refreshing)
        await reloader.refresh()

    assert reloaded(shelf, change) == ({"a": "new a", "b": "new b"}, [("a", True), ("b", True)] * 3)


def test_a_model_that_cannot_be_loaded_is_refused_without_its_words() -> None:
    async def change(reloader: Reloader) -> None:
        with pytest.raises(BadRequestError) as refused:
            await reloader.load("a")
        assert refused.value.message == "the model a could not be loaded; the service's log says why"

    shelf = Shelf(a=KeyError("secret of /home/operator/model.py"))
    assert reloaded(shelf, change) == ({"a": "old a", "b": "old b"}, [("a", False)])
