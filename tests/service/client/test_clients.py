"""Both clients on a network that fails in every way: what is asked again, and what is closed."""

import asyncio
from collections.abc import Callable

import httpx
import pytest
from mcdrop_service.client import (
    AsyncClient,
    Client,
    ClientTimeoutError,
    ConnectionFailedError,
    Patience,
)
from mcdrop_service.client.carrying import LIMITS
from mcdrop_service.settings import Settings

URL = "http://service.example"
PATIENCE = Patience(max_attempts=3, first_pause_s=0.001)


def failing(error: type[httpx.TransportError], asked: list[str]) -> httpx.MockTransport:
    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        raise error("the network's words", request=request)

    return httpx.MockTransport(answer)


def by_threads(transport: httpx.MockTransport) -> None:
    with httpx.Client(transport=transport) as http, Client(URL, patience=PATIENCE, http=http) as client:
        client.models()


def by_asyncio(transport: httpx.MockTransport) -> None:
    async def main() -> None:
        async with httpx.AsyncClient(transport=transport) as http:
            try:
                async with AsyncClient(URL, patience=PATIENCE, http=http) as client:
                    await client.models()
            finally:
                assert not http.is_closed

    asyncio.run(main())


@pytest.mark.parametrize("models", [by_threads, by_asyncio])
@pytest.mark.parametrize(
    ("error", "raised", "times"),
    [
        (httpx.ConnectError, ConnectionFailedError, 3),
        (httpx.ConnectTimeout, ConnectionFailedError, 3),
        (httpx.PoolTimeout, ConnectionFailedError, 3),
        (httpx.RemoteProtocolError, ConnectionFailedError, 3),
        (httpx.ReadError, ConnectionFailedError, 3),
        (httpx.ReadTimeout, ClientTimeoutError, 1),
        (httpx.WriteTimeout, ClientTimeoutError, 1),
    ],
)
def test_a_connection_that_fails_is_tried_again_and_an_answer_that_is_late_is_not_waited_for_twice(
    models: Callable[[httpx.MockTransport], None],
    error: type[httpx.TransportError],
    raised: type[Exception],
    times: int,
) -> None:
    asked: list[str] = []
    with pytest.raises(raised, match=f"{URL}: the network's words"):
        models(failing(error, asked))
    assert asked == ["/v1/models"] * times


def test_own_connections_are_closed() -> None:
    async def main() -> bool:
        async with AsyncClient(URL) as client:
            pass
        return client._http.is_closed

    with Client(URL) as client:
        pass
    assert client._http.is_closed
    assert asyncio.run(main())


def test_an_idle_connection_is_given_up_before_the_service_closes_it() -> None:
    assert LIMITS.keepalive_expiry is not None
    assert LIMITS.keepalive_expiry < Settings().keep_alive_ms / 1000
