"""The management port, called as a server calls it."""

import asyncio
from typing import cast

import pytest
from mcdrop_service.execution import Repository, Servable
from mcdrop_service.settings import Settings
from mcdrop_service.web import Service, create_management_app
from mcdrop_service.web.exchange import EXCHANGE, Exchange
from mcdrop_service.web.keys import digest_of

from tests.service.execution.test_reloading import Named, Shelf
from tests.service.web.test_exchange import Noting
from tests.support.wire import PATIENCE_S

TOKEN = "only-for-this-test"  # noqa: S105  of a server that is none


async def status(service: Service, act: str) -> int:
    """Of the answer to a request to load or unload `a`."""
    connection = Noting()
    asked = Exchange(connection, wants_body=True, keep_alive=True, wants_continue=False)
    asked.end()
    scope = {
        "type": "http",
        "method": "POST",
        "path": f"/v2/repository/models/a/{act}",
        "headers": [(b"authorization", f"Bearer {TOKEN}".encode())],
        "extensions": {EXCHANGE: asked},
    }
    await create_management_app(service, (digest_of(TOKEN),))(scope, asked.receive, asked.send)
    return int(connection.sent[0].split()[1])


@pytest.mark.parametrize("act", ["load", "unload"])
def test_models_are_exchanged_from_the_start_to_the_signal_to_stop(act: str) -> None:
    async def main() -> list[int]:
        shelf = cast("Repository", Shelf(a=Named("new a")))
        models = {"a": [cast("Servable", Named("old a"))]}
        service = Service.of(models, Settings(), repository=shelf)
        starting = await status(service, act)
        await service.engine.start()
        service.lifecycle.serve()
        serving = await status(service, act)
        service.lifecycle.drain()
        stopping = await status(service, act)
        service.engine.stop()
        return [starting, serving, stopping]

    assert asyncio.run(asyncio.wait_for(main(), PATIENCE_S)) == [503, 200, 503]
