"""Who builds a network from these layers loads torch and nothing else."""

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import mcdrop.nn

FILES = sorted(Path(str(mcdrop.nn.__file__)).parent.glob("*.py"))


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        if isinstance(node, ast.ImportFrom):
            yield str(node.module)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_layers_import_only_torch(path: Path) -> None:
    names = set(imported(path))
    own = {name for name in names if name == "mcdrop.errors" or name.startswith("mcdrop.nn.")}
    packages = {name.partition(".")[0] for name in names - own}
    assert packages - sys.stdlib_module_names <= {"torch"}
