"""What the server does between requests."""

import asyncio
from typing import Any, cast

from mcdrop_service.execution import Repository, Servable
from mcdrop_service.settings import Settings
from mcdrop_service.web import Service
from mcdrop_service.web.server import _config, _DrainingServer

from tests.service.execution.test_reloading import Named, Shelf
from tests.support.wire import PATIENCE_S


def test_a_signal_to_load_anew_that_comes_while_models_warm_up_is_kept_until_they_serve() -> None:
    async def main() -> list[str]:
        shelf = cast("Repository", Shelf(a=Named("new")))
        service = Service.of({"a": [cast("Servable", Named("old"))]}, Settings(), repository=shelf)
        app = cast("Any", None)
        server = _DrainingServer(_config(app, service, lifespan="off"), service, None, supervised=False)
        server._refresh()
        server._refresh()
        await server.on_tick(1)
        await service.engine.start()
        service.lifecycle.serve()
        seen = [service.engine.facts("a").digest]
        for _ in range(2):
            await server.on_tick(1)
            seen.append(str(len(server._tasks)))
        await asyncio.gather(*server._tasks)
        service.engine.stop()
        return [*seen, service.engine._catalogue.find("a").facts.digest]

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE_S)) == ["old", "1", "1", "new"]
