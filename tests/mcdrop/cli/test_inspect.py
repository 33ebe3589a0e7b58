"""`mcdrop inspect` says what a checkpoint is, for people and as JSON."""

import json
from pathlib import Path

import pytest
import torch

import mcdrop
from tests.support.checkpoints import edit_manifest, small_checkpoint
from tests.support.command_line import run_here


def test_facts_sites_and_fingerprint_are_shown(capsys: pytest.CaptureFixture[str], classifier: Path) -> None:
    finished = run_here(capsys, "inspect", classifier)
    mc = mcdrop.load(classifier)
    assert finished.code == 0
    assert str(mc.digest) in finished.out
    assert mc.fingerprint_id() in finished.out
    assert torch.__version__ in finished.out
    assert "3 random sites" in finished.out
    assert "image (N, 1, 8, 8) float32" in finished.out
    assert "zero, one, two" in finished.out


def test_the_json_says_the_same(capsys: pytest.CaptureFixture[str], classifier: Path, tmp_path: Path) -> None:
    out = tmp_path / "facts.json"
    assert run_here(capsys, "inspect", classifier, "--json", out).code == 0
    mc = mcdrop.load(classifier)
    document = json.loads(out.read_text())
    assert document["digest"] == mc.digest
    assert document["fingerprint_id"] == mc.fingerprint_id()
    assert document["manifest"]["name"] == "images"
    assert [site["p"] for site in document["sites"]] == [0.1, 0.5, 0.5]
    assert document["sites"][1]["row_shape"] == [32]


def test_a_damaged_checkpoint_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    path = small_checkpoint(tmp_path / "small")
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1] + b"\x55")
    finished = run_here(capsys, "inspect", path)
    assert finished.code == 2
    assert finished.err.count("\n") == 1
    assert "model.safetensors was changed" in finished.err


def test_a_factory_has_to_be_allowed(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    edit_manifest(path, lambda document: document["architecture"].update(source="factory", name="os:system"))
    finished = run_here(capsys, "inspect", path)
    assert finished.code == 2
    assert "the code of package 'os' is not allowed" in finished.err
