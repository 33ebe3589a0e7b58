"""A worker on a clock of its own."""

import pytest
from mcdrop_service.scheduler import Scheduler

from tests.service.scheduler.jobs import WIDE, FakeWorker


@pytest.fixture
def worker() -> FakeWorker:
    return FakeWorker(Scheduler(WIDE))
