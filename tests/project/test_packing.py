"""The worked example of docs/packing.md: what a reader types makes a checkpoint that can be served."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mcdrop
from tests.support.markdown import blocks
from tests.support.repository import ROOT

PAGE = ROOT / "docs" / "packing.md"


def test_a_network_of_ones_own_is_packed_inspected_and_can_be_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = next(block.text for block in blocks(PAGE) if block.language == "python")
    typed = next(block.text for block in blocks(PAGE) if block.language == "sh")
    (tmp_path / "mynets.py").write_text(module)
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    variables = {**os.environ, "PATH": path}
    assert "mcdrop serve models --allow-package mynets" in typed
    done = subprocess.run(
        ["bash", "-euc", f"{typed.rstrip()} --print-config"],  # the last command, without serving for ever
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "max_queue_units" in done.stdout
    monkeypatch.syspath_prepend(tmp_path)
    assert mcdrop.load(tmp_path / "models" / "net", allow=["mynets"]).task == "classification"
