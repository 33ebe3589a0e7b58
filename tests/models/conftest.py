"""Recipes leave torch deterministic, which fingerprints tell: later tests compare theirs with a server's."""

from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(autouse=True)
def _determinism_ends_with_the_test() -> Iterator[None]:
    before = torch.are_deterministic_algorithms_enabled()
    yield
    torch.use_deterministic_algorithms(mode=before)
