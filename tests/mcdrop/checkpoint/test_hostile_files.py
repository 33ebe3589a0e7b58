"""Loading a hostile file is one clear error: no code runs, nothing is fetched, the memory stays small.

An audit hook sees what no test double can: it is called by the interpreter itself. It cannot be removed, so
it is armed in a process of its own.
"""

import ast
import json
import os
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from mcdrop.checkpoint import read_checkpoint
from mcdrop.checkpoint.pack import read_state_dict
from mcdrop.errors import CheckpointError
from tests.support.hostile import hostile_archives, hostile_checkpoints

ROOT = Path(__file__).parents[3]


UNPICKLERS = {"cloudpickle", "dill", "joblib", "marshal", "pickle", "shelve"}


@cache
def sources() -> list[tuple[str, ast.AST]]:
    """Every import and call of every source file of both packages, with the file's path."""
    return [
        (str(path.relative_to(ROOT)), node)
        for folder in ("mcdrop", "service/mcdrop_service")
        for path in (ROOT / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom | ast.Call)
    ]


def called(node: ast.AST) -> str:
    """What a node calls, as `torch.load`; empty if it is no call."""
    return ast.unparse(node.func) if isinstance(node, ast.Call) else ""


def test_nothing_imports_an_unpickler() -> None:
    for path, node in sources():
        names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        names += [str(node.module)] if isinstance(node, ast.ImportFrom) else []
        assert not UNPICKLERS & {name.partition(".")[0] for name in names}, path


def test_torch_loads_in_one_place_and_says_weights_only() -> None:
    found = [(path, node) for path, node in sources() if called(node) == "torch.load"]
    assert [path for path, _ in found] == ["mcdrop/checkpoint/pack.py"]
    text = ast.unparse(found[0][1])
    assert "weights_only=True" in text
    assert "map_location='cpu'" in text


def test_numpy_never_unpickles() -> None:
    found = [ast.unparse(node) for _, node in sources() if called(node) == "np.load"]
    assert found
    assert all("allow_pickle=False" in text for text in found)


def audited(corpus: Path, environment: dict[str, str]) -> dict[str, Any]:
    """What a process saw that loaded everything in a directory under an audit hook."""
    command = [sys.executable, "-m", "tests.support.audited_loading", str(corpus)]
    variables = {**os.environ, **environment}
    finished = subprocess.run(command, cwd=ROOT, env=variables, capture_output=True, text=True, check=True)
    report: dict[str, Any] = json.loads(finished.stdout.splitlines()[-1])
    assert "the payload ran" not in finished.stdout
    return report


def test_every_hostile_checkpoint_is_a_checkpoint_error(tmp_path: Path) -> None:
    corpus = hostile_checkpoints(tmp_path)
    assert len(corpus) > 40
    for path in corpus.values():
        with pytest.raises(CheckpointError):
            read_checkpoint(path)


def test_every_hostile_archive_is_a_checkpoint_error(tmp_path: Path) -> None:
    for path in hostile_archives(tmp_path).values():
        with pytest.raises(CheckpointError):
            read_state_dict(path)


@pytest.mark.parametrize("environment", [{}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"}])
def test_no_hostile_file_runs_code_opens_a_socket_or_fills_the_memory(
    tmp_path: Path, environment: dict[str, str]
) -> None:
    hostile_checkpoints(tmp_path)
    hostile_archives(tmp_path)
    report = audited(tmp_path, environment)
    assert report["events"] == []
    assert report["loaded"] == []
    assert report["refused"] > 50
    assert report["grown_mebibytes"] < 200
    assert report["hook_sees_a_payload"]
