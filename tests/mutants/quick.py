"""How mutants are looked for: cheap tests first, the same examples each time, no smallest one that fails."""

import json
from pathlib import Path
from typing import Final

import pytest
from hypothesis import Phase, settings

DURATIONS: Final = Path("mutmut-stats.json")

settings.register_profile(
    "mutants", deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort the tests by the time that each took when none was changed."""
    if DURATIONS.exists():
        seconds = json.loads(DURATIONS.read_text("utf-8"))["duration_by_test"]
        items.sort(key=lambda item: seconds.get(item.nodeid, 0.0))
