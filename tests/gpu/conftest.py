"""What runs on a CUDA device alone: `make test-gpu`, on a machine that has one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip this folder where there is no device."""
    if not torch.cuda.is_available():
        skipped = pytest.mark.skip(
            reason="needs a CUDA device: run `make test-gpu` on a machine that has one"
        )
        for item in items:
            if item.path.is_relative_to(_HERE):
                item.add_marker(skipped)


@pytest.fixture(autouse=True)
def _without_tf32() -> Iterator[None]:
    """Products in full float32, so that differences are those of the order of sums."""
    before = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.set_float32_matmul_precision(before[0])
    torch.backends.cudnn.allow_tf32 = before[1]


@pytest.fixture
def device() -> torch.device:
    return torch.device("cuda")
