"""Tests that need transformers and timm: run by `make test-libraries`, in an environment that has them."""

import importlib.util

import pytest

MISSING = [name for name in ("transformers", "timm", "torchvision") if importlib.util.find_spec(name) is None]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip every test of this directory where a library is missing."""
    mark = pytest.mark.skip(reason=f"{', '.join(MISSING)} is not installed: run make test-libraries")
    for item in items:
        if MISSING and "tests/libraries" in str(item.path):
            item.add_marker(mark)
