"""One server with small limits for all tests of the web room."""

from collections.abc import Iterator

import pytest

from tests.service.models import FAKE_SERVER
from tests.support.wire import Server, post, running

LIMITS = {
    "MCDROP_MAX_BODY_BYTES": "2000",
    "MCDROP_MAX_REQUEST_UNITS": "50",
    "MCDROP_MAX_N_SAMPLES": "799",
    "MCDROP_MAX_QUANTILES": "2",
    "MCDROP_MAX_QUEUE_BYTES": "100000",
    "MCDROP_BODY_TIMEOUT_MS": "300",
    "MCDROP_HEADER_TIMEOUT_MS": "300",
    "MCDROP_REQUEST_TIMEOUT_MS": "500",
}


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    """A running server with a fake model."""
    with running(FAKE_SERVER, **LIMITS) as started:
        yield started


@pytest.fixture(autouse=True)
def undisturbed(server: Server) -> Iterator[None]:
    """After every test, however hostile, the next request is answered."""
    yield
    answer = post(server, "/v1/models/toy/predict", {"inputs": [[1, 2, 3]], "outputs": ["mean"]})
    assert (answer.status, answer.document["outputs"]) == (200, {"mean": [[2.0, 4.0, 6.0]]})
