"""No collection of garbage looks at the models while the service answers."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest
from mcdrop_service.execution import Engine
from mcdrop_service.scheduler import QueueLimits

from tests.service.fake_server import FakeModel


@pytest.fixture(autouse=True)
def unfrozen() -> Iterator[None]:
    yield
    gc.unfreeze()


def test_what_is_there_when_the_models_are_ready_is_looked_at_no_more() -> None:
    async def main() -> tuple[int, int]:
        engine = Engine({"toy": [FakeModel(broken=False)]}, QueueLimits(10, 10), lambda *_: None)
        await engine.start()
        frozen, left = gc.get_freeze_count(), len(gc.get_objects())
        await engine.exchange("toy", [])
        engine.stop()
        return frozen, left

    gc.collect()
    before = len(gc.get_objects())
    frozen, left = asyncio.run(main())
    assert frozen > 0.9 * before
    assert left < 0.1 * before


def test_an_exchanged_model_is_not_kept_for_ever() -> None:
    class Ring:
        """Part of a cycle, as modules of a network can be."""

        def __init__(self) -> None:
            self.own = self

    async def main() -> bool:
        model, ring = FakeModel(broken=False), Ring()
        model.ring = ring  # type: ignore[attr-defined]
        seen = weakref.ref(ring)
        engine = Engine({"toy": [model]}, QueueLimits(10, 10), lambda *_: None)
        await engine.start()
        del model, ring
        await engine.exchange("toy", [FakeModel(broken=False)])
        engine.stop()
        return seen() is None

    assert asyncio.run(main())
