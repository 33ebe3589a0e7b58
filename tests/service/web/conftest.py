"""One server with small limits for all tests of the web room, and one that is in a hurry."""

import time
from collections.abc import Iterator

import pytest

from tests.service.holding import PREDICT, asking
from tests.service.models import FAKE_SERVER
from tests.support.wire import PATIENCE_S, Answer, Server, post, running

LIMITS = {
    "MCDROP_MAX_BODY_BYTES": "2000",
    "MCDROP_MAX_REQUEST_UNITS": "50",
    "MCDROP_MAX_N_SAMPLES": "799",
    "MCDROP_MAX_QUANTILES": "2",
    "MCDROP_MAX_QUEUE_BYTES": "100000",
}
HURRY = {
    "MCDROP_BODY_TIMEOUT_MS": "200",
    "MCDROP_HEADER_TIMEOUT_MS": "200",
    "MCDROP_KEEP_ALIVE_MS": "200",
}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server with a fake model."""
    with running(FAKE_SERVER, **LIMITS) as started:
        yield started


@pytest.fixture(scope="session")
def hasty() -> Iterator[Server]:
    """Another that waits for no client: an honest one is late, too, where the machine stalls for a moment."""
    with running(FAKE_SERVER, **LIMITS, **HURRY) as started:
        yield started


@pytest.fixture(autouse=True)
def undisturbed(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test, however hostile, the next request is answered."""
    asked = {
        name: request.getfixturevalue(name) for name in ("server", "hasty") if name in request.fixturenames
    }
    yield
    limit = time.monotonic() + PATIENCE_S
    for name, each in asked.items():
        while (answer := _honest(each)).status != 200 and name == "hasty":
            assert time.monotonic() < limit
        assert (answer.status, answer.document.get("outputs")) == (200, {"mean": [[2.0, 4.0, 6.0]]})


def _honest(server: Server) -> Answer:
    return post(server, PREDICT, asking(1, 2, 3))
