"""The public surface, and what importing it loads."""

import json
import subprocess
import sys

import pytest

import mcdrop

HEAVY = ["pydantic", "sklearn", "matplotlib", "typer", "rich", "pandas", "pyarrow", "scipy", "fastapi"]
PRINT_LOADED = f"import json, sys, mcdrop; print(json.dumps([n for n in {HEAVY} if n in sys.modules]))"


def test_the_public_names_are_these_in_order() -> None:
    assert mcdrop.__all__ == sorted(mcdrop.__all__)
    assert set(mcdrop.__all__) >= {
        "Inspection",
        "MCDropout",
        "Predictive",
        "Report",
        "calibrate",
        "evaluate",
        "inject",
        "injection",
        "inspect",
        "load",
        "load_predictions",
        "nn",
        "tune_rates",
        "with_rates",
        "write_report",
    }


@pytest.mark.parametrize("name", mcdrop.__all__)
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(mcdrop, name) is not None
    assert name in dir(mcdrop)


def test_every_lazy_name_is_public() -> None:
    assert sorted(mcdrop._HOMES) == mcdrop.__all__


def test_a_star_import_gives_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from mcdrop import *", names)  # noqa: S102  what a user types
    assert sorted(names.keys() - {"__builtins__"}) == mcdrop.__all__


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'mcdrop' has no attribute 'colour'"):
        _ = mcdrop.colour


def test_importing_loads_nothing_heavy() -> None:
    done = subprocess.run([sys.executable, "-c", PRINT_LOADED], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []
