"""The real service over the shipped checkpoints, started once as an operator starts it."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.wire import Server, running

SERVE = (os.fspath(Path(sys.executable).with_name("mcdrop")), "serve")


@pytest.fixture(scope="session")
def models() -> Path:
    """The shipped checkpoints."""
    return Path(__file__).parents[2] / "models"


@pytest.fixture(scope="session")
def server(models: Path) -> Iterator[Server]:
    """`mcdrop serve` over them, ready."""
    with running([*SERVE, os.fspath(models), "--port", "0"]) as started:
        yield started
