"""What no file of the service may do, read from its source."""

import ast
from collections.abc import Iterator
from pathlib import Path

import mcdrop_service
import pytest

ROOT = Path(mcdrop_service.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
FORBIDDEN_IMPORTS = {
    "pickle",
    "joblib",
    "marshal",
    "shelve",
    "subprocess",
    "urllib",
    "requests",
    "httpx",
    "ctypes",
}
HARMLESS = "urllib.parse"
"""Takes texts apart; what is beside it fetches."""
CLIENT = {"httpx"}
"""What the client is made of; it runs where people ask, and no room of the service imports it."""
FORBIDDEN_CALLS = {"eval", "exec", "__import__", "system", "popen", "import_module"}
WEB = {"fastapi", "httptools", "starlette", "uvicorn", "uvloop"}
# which rooms may know what: plain data is passed between them
ROOMS = {
    "scheduler": {"torch", "numpy", "mcdrop"} | WEB,
    "parsing": {"torch", "mcdrop"} | WEB,
    "encoding": {"torch", "mcdrop"} | WEB,
    "telemetry": {"torch", "mcdrop"} | WEB,
    "execution": WEB,
    "web": {"torch", "mcdrop", "numpy"},
}


def imported(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module if node.module == HARMLESS else str(node.module).partition(".")[0]


def called(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Call):
            yield getattr(node.func, "attr", getattr(node.func, "id", ""))


@pytest.mark.parametrize("source", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_unpickles_fetches_or_runs_what_it_is_given(source: Path) -> None:
    allowed = CLIENT if source.parent.name == "client" else set()
    assert (FORBIDDEN_IMPORTS - allowed).isdisjoint(imported(source))
    assert FORBIDDEN_CALLS.isdisjoint(called(source))


def test_keys_are_compared_in_constant_time() -> None:
    tree = ast.parse((ROOT / "web" / "keys.py").read_text())
    (known,) = [
        each for each in ast.walk(tree) if isinstance(each, ast.FunctionDef) and each.name == "_is_known"
    ]
    calls = [ast.unparse(each) for each in ast.walk(known) if isinstance(each, ast.Call)]
    assert "hmac.compare_digest(came, known)" in calls
    sides = [ast.unparse(each.left) for each in ast.walk(known) if isinstance(each, ast.Compare)]
    assert not {"came", "known", "key"} & set(sides)


def test_no_decision_hangs_on_the_wall_clock() -> None:
    """A clock that is set while the service runs moves no deadline; dates that are told come from it."""
    readers = [source.name for source in SOURCES if {"time.time", "datetime.now"} & set(dotted(source))]
    assert readers == ["families.py", "statistics.py"]
    assert not any("from time import" in source.read_text() for source in SOURCES)


def dotted(source: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(source.read_text())):
        if isinstance(node, ast.Attribute):
            yield ast.unparse(node)


def test_no_room_of_the_service_imports_the_client() -> None:
    outside = [source for source in SOURCES if source.parent.name != "client"]
    assert [source for source in outside if "mcdrop_service.client" in source.read_text()] == []


@pytest.mark.parametrize("room", ROOMS)
def test_each_room_knows_only_what_it_needs(room: str) -> None:
    known = {name for source in (ROOT / room).glob("*.py") for name in imported(source)}
    assert known.isdisjoint(ROOMS[room])
