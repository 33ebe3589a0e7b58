"""The way from a request to its answer, around a model that hangs."""

import asyncio
import threading
import time
from collections.abc import Hashable
from typing import cast

import numpy as np
import pytest
from mcdrop_service.errors import (
    DeadlineError,
    ModelFaultError,
    NotFoundError,
    NotReadyError,
    QueueFullError,
)
from mcdrop_service.execution import Engine, Lane, Servable
from mcdrop_service.execution.health import STRIKES
from mcdrop_service.facts import ModelFacts, PredictionRequest
from mcdrop_service.scheduler import Job, Outcome, QueueLimits
from mcdrop_service.telemetry import Notes

from tests.service.models import facts
from tests.support.wire import PATIENCE_S


class SlowToPlan:
    """Needs long to find out how requests of a signature share batches."""

    def __init__(self) -> None:
        self.release = threading.Event()

    def warm_up(self) -> ModelFacts:
        return facts()

    def probe(self) -> None:
        """Nothing is wrong with it."""

    def lane(self, _request: PredictionRequest) -> Lane:
        self.release.wait()
        return Lane(1, 1, mixes=True)


def test_a_request_whose_input_was_never_seen_is_given_up_at_its_deadline_too() -> None:
    async def main() -> None:
        model = SlowToPlan()
        models = {"toy": [cast("Servable", model)]}
        engine = Engine(models, QueueLimits(100, 2**20), lambda *_: None)
        await engine.start()
        request = PredictionRequest({"x": np.zeros((1, 3), np.float32)}, 1, 32, 0, ("mean",))
        with pytest.raises(DeadlineError, match="not ready before its deadline"):
            await engine.predict(engine.find("toy"), request, time.monotonic() + 0.02, Notes())
        model.release.set()
        engine.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_nothing_is_asked_of_an_engine_that_starts_or_has_stopped() -> None:
    class SlowToStart(SlowToPlan):
        def warm_up(self) -> ModelFacts:
            self.release.wait()
            return facts()

    async def main() -> None:
        model = SlowToStart()
        engine = Engine({"toy": [cast("Servable", model)]}, QueueLimits(10, 10), lambda *_: None)
        starting = asyncio.create_task(engine.start())
        await asyncio.sleep(0)
        with pytest.raises(NotReadyError, match="still starting") as refused:
            engine.find("toy")
        assert (refused.value.retry_after_s, engine.names) == (1, ("toy",))
        with pytest.raises(NotFoundError, match="unknown model 'other'; this service has toy"):
            engine.find("other")
        model.release.set()
        await starting
        assert engine.find("toy").facts.name == "toy"
        engine.stop()
        with pytest.raises(NotReadyError, match="is stopping"):
            engine.find("toy")

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_a_model_that_failed_too_often_is_tried_again_though_nobody_asks_but_for_predictions() -> None:
    class Mended(SlowToPlan):
        broken = True

        def probe(self) -> None:
            if self.broken:
                raise RuntimeError("the device is gone")

    async def main() -> None:
        model = Mended()
        engine = Engine({"toy": [cast("Servable", model)]}, QueueLimits(100, 2**20), lambda *_: None)
        await engine.start()
        served = engine.find("toy")
        for _ in range(STRIKES):
            served.health.failed()
        model.broken, served.health._tried_s = False, 0.0
        request = PredictionRequest({"x": np.zeros((1, 3), np.float32)}, 1, 32, 0, ("mean",))
        with pytest.raises(NotReadyError, match="is tried again soon"):
            await engine.predict(served, request, time.monotonic() + 60, Notes())
        await engine.in_worker(lambda: None)
        assert served.health.fit
        engine.stop()

    asyncio.run(asyncio.wait_for(main(), PATIENCE_S))


def test_requests_of_a_new_shape_that_come_together_share_a_lane(monkeypatch: pytest.MonkeyPatch) -> None:
    keys: list[Hashable] = []

    async def noted(job: Job) -> tuple[Outcome, None]:
        keys.append(job.key)
        return Outcome.FAILED, None

    async def main() -> None:
        model = SlowToPlan()
        model.release.set()
        engine = Engine({"toy": [cast("Servable", model)]}, QueueLimits(100, 2**20), lambda *_: None)
        await engine.start()
        monkeypatch.setattr(engine._dispatcher, "run", noted)
        request = PredictionRequest({"x": np.zeros((1, 3), np.float32)}, 1, 32, 0, ("mean",))
        served, due_s = engine.find("toy"), time.monotonic() + 60
        asked = [engine.predict(served, request, due_s, Notes()) for _ in range(3)]
        await asyncio.gather(*asked, return_exceptions=True)
        engine.stop()

    asyncio.run(main())
    assert len(keys) == 3
    assert len(set(keys)) == 1


@pytest.mark.parametrize("times", [1, 2])
def test_what_a_model_took_is_expected_of_the_one_that_takes_its_place(times: int) -> None:
    def loaded() -> Servable:
        model = SlowToPlan()
        model.release.set()
        return cast("Servable", model)

    async def main() -> None:
        engine = Engine({"toy": [loaded()]}, QueueLimits(100, 2**20), lambda *_: None)
        await engine.start()
        request = PredictionRequest({"x": np.zeros((1, 3), np.float32)}, 1, 1024, 0, ("mean",))
        with pytest.raises(ModelFaultError):  # it only plans
            await engine.predict(engine.find("toy"), request, time.monotonic() + 60, Notes())
        (lane,) = engine.find("toy").lanes.values()
        engine._dispatcher._scheduler._forecast.learn(lane.serial, 1.0)
        for _ in range(times):
            await engine.exchange("toy", [loaded()])
        with pytest.raises(QueueFullError, match="could not be done before its deadline"):
            await engine.predict(engine.find("toy"), request, time.monotonic() + 60, Notes())
        engine.stop()

    asyncio.run(asyncio.wait_for(main(), 10))


def test_inputs_of_another_model_or_shape_are_another_lane_to_the_scheduler() -> None:
    async def main() -> set[int]:
        names = ("one", "two")
        models = {name: [cast("Servable", SlowToPlan())] for name in names}
        for (model,) in models.values():
            cast("SlowToPlan", model).release.set()
        engine = Engine(models, QueueLimits(100, 2**20), lambda *_: None)
        await engine.start()
        for name in names:
            for width in (3, 4, 3):
                request = PredictionRequest({"x": np.zeros((1, width), np.float32)}, 1, 32, 0, ("mean",))
                with pytest.raises(ModelFaultError):  # it only plans
                    await engine.predict(engine.find(name), request, time.monotonic() + 60, Notes())
        serials = {lane.serial for name in names for lane in engine.find(name).lanes.values()}
        engine.stop()
        return serials

    assert len(asyncio.run(main())) == 4
