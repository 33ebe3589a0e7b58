"""Change the code in one place at a time, and see whether a test notices.

    make mutants                                                # all of them: most of an hour
    .venv-mutants/bin/python -m tests.mutants scheduler/line    # in files whose path holds one of these words
    .venv-mutants/bin/python -m tests.mutants --table           # what was found last

It works on a copy in `build/mutants`, since mutmut finds code in `src/` only; there `mutmut results` names
the mutants that lived, and `mutmut show NAME` prints one. Properties and other decorated functions are left
as they are.
"""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
STAGE: Final = ROOT / "build" / "mutants"
CODE: Final[Mapping[str, str]] = {"service/mcdrop_service": "src/mcdrop_service", "mcdrop": "src/mcdrop"}
"""Where the packages lie here, and in the copy."""

CHANGED: Final[Mapping[str, str]] = {
    "service/mcdrop_service/scheduler/*.py": "tests/service/scheduler",
    "service/mcdrop_service/parsing/*.py": "tests/service/parsing",
    "mcdrop/engine/masks.py": "tests/mcdrop/engine/test_masks.py",
}
"""What is changed, and the tests that must notice."""

LEFT_OUT: Final = "tests/service/scheduler/test_overload.py"
"""Plays of ten seconds of overload take longer than all others together, which must do without them."""

SETTINGS: Final = """\
[tool.mutmut]
source_paths = ["src"]
only_mutate = {files}
pytest_add_cli_args = ["-p", "tests.mutants.quick", "--hypothesis-profile=mutants", "--deselect={left_out}"]
pytest_add_cli_args_test_selection = {tests}
timeout_multiplier = 1.0
timeout_constant = 10.0
use_git_change_detection = false
track_dependencies = false

[tool.pytest.ini_options]
addopts = ["--import-mode=importlib"]
"""
LIVED: Final = (0, 5, 33)
"""Exit codes of a mutant: all tests passed, or there was none."""
TIMED_OUT: Final = (-24, 24, 36, 152, 255)


def main(words: list[str]) -> int:
    """Run what is named, or all, and print the table; the exit code."""
    if words != ["--table"]:
        stage()
        named = [path for path in files() if not words or any(word in str(path) for word in words)]
        patterns = [f"{'.'.join(path.relative_to('src').with_suffix('').parts)}.*" for path in named]
        mutmut = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1", *patterns]
        subprocess.run(mutmut, cwd=STAGE, env=os.environ | {"PYTHONPATH": ""}, check=True)
    print_table()
    return 0


def files() -> list[Path]:
    """The files that are changed, as they lie in the copy."""
    found: list[Path] = []
    for pattern in CHANGED:
        here = next(place for place in CODE if pattern.startswith(f"{place}/"))
        found += [CODE[here] / path.relative_to(here) for path in _under_root(pattern)]
    return found


def _under_root(pattern: str) -> list[Path]:
    paths = sorted(ROOT.glob(pattern))
    return [path.relative_to(ROOT) for path in paths if path.name != "__init__.py"]


def stage() -> None:
    """Copy code and tests to where mutmut works; a file that did not change keeps its time."""
    for old in (STAGE / "tests", STAGE / "mutants" / "tests"):
        shutil.rmtree(old, ignore_errors=True)
    for source, target in {**CODE, "tests": "tests"}.items():
        ignored = shutil.ignore_patterns("__pycache__")
        shutil.copytree(ROOT / source, STAGE / target, ignore=ignored, dirs_exist_ok=True)
    text = SETTINGS.format(
        files=json.dumps(list(map(str, files()))), tests=json.dumps(list(CHANGED.values())), left_out=LEFT_OUT
    )
    (STAGE / "pyproject.toml").write_text(text, encoding="utf-8")


def print_table() -> None:
    """Mutants by file and verdict, as Markdown."""
    total: Counter[str] = Counter()
    rows = ["| file | mutants | killed | timed out | lived | score |", "|---|---|---|---|---|---|"]
    for path in files():
        if found := _verdicts(path):
            total += found
            rows.append(_row(str(path.relative_to("src")), found))
    sys.stdout.write("\n".join([*rows, _row("together", total), ""]))


def _verdicts(path: Path) -> Counter[str]:
    meta = STAGE / "mutants" / f"{path}.meta"
    codes = json.loads(meta.read_text("utf-8"))["exit_code_by_key"] if meta.exists() else {}
    return Counter(_verdict(code) for code in codes.values() if code is not None)


def _verdict(code: int) -> str:
    if code in LIVED:
        return "lived"
    return "timed out" if code in TIMED_OUT else "killed"


def _row(name: str, found: Counter[str]) -> str:
    counts = [found.total(), *(found[each] for each in ("killed", "timed out", "lived"))]
    score = 1 - found["lived"] / max(found.total(), 1)
    return f"| {name} | {' | '.join(map(str, counts))} | {score:.0%} |"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
