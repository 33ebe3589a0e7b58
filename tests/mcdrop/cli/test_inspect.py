"""`mcdrop inspect` says what a checkpoint is, for people and as JSON."""

import json
from pathlib import Path

import numpy as np
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


def test_the_findings_are_shown_with_what_to_do(
    capsys: pytest.CaptureFixture[str], classifier: Path, images: Path
) -> None:
    finished = run_here(capsys, "inspect", classifier, "--data", images, "--precision", "0.1")
    assert finished.code == 0
    assert "measured on 12 rows of images.npz; 32 samples, seed 0" in finished.out
    assert "warning MC012 the model: Too few samples for the precision asked" in finished.out
    assert "-> take more samples, or ask for less; see docs/findings/MC012.md" in finished.out


@pytest.mark.parametrize(("severity", "code"), [("hint", 1), ("warning", 1), ("error", 0)])
def test_a_finding_grave_enough_fails(
    capsys: pytest.CaptureFixture[str], classifier: Path, severity: str, code: int
) -> None:
    finished = run_here(capsys, "inspect", classifier, "--precision", "0.01", "--fail-on", severity)
    assert finished.code == code
    assert ("failed: " in finished.err) == bool(code)


def test_the_json_has_the_findings_and_what_each_site_carries(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, tmp_path: Path
) -> None:
    out, plot = tmp_path / "facts.json", tmp_path / "sites.svg"
    options = ("--data", table, "--json", out, "--plot", plot, "--seed", "4")
    assert run_here(capsys, "inspect", regression, *options).code == 0
    document = json.loads(out.read_text())
    assert document["seed"] == 4
    assert document["rows"] == 40
    assert all(0 < site["share"]["value"] < 2 for site in document["sites"])
    assert {"code", "severity", "module", "evidence", "todo", "page"} <= set(document["findings"][0])
    assert plot.read_text().startswith("<?xml")


def test_what_a_factory_makes_is_inspected_on_rows_of_a_file(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, x=np.random.default_rng(0).normal(size=(30, 3)), y=np.arange(30) % 3)
    factory = "tests.support.architectures:tied"
    finished = run_here(capsys, "inspect", factory, "--data", rows, "--task", "classification")
    assert finished.code == 0
    assert "1 random site " in finished.out
    assert "MC015" not in finished.out
    missing = run_here(capsys, "inspect", factory)
    assert missing.code == 2
    assert "give some typical rows with --data FILE" in missing.err


def test_a_model_without_dropout_is_a_finding_and_no_traceback(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, input=np.ones((4, 3), np.float32))
    finished = run_here(capsys, "inspect", "torch.nn:Identity", "--data", rows)
    assert finished.code == 0
    assert "error MC001 the model: Nothing is random" in finished.out
    assert run_here(capsys, "inspect", "torch.nn:Identity", "--data", rows, "--fail-on", "error").code == 1


def test_the_first_rows_are_said_to_be_measured_and_no_table_is_shown_of_nothing(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = tmp_path / "rows.npz"
    np.savez(rows, x=np.ones((40, 3), np.float32))
    finished = run_here(capsys, "inspect", "tests.support.architectures:tied", "--data", rows)
    assert "measured on the first 32 of 40 rows of rows.npz; 128 samples" in " ".join(finished.out.split())
    np.savez(rows, input=np.ones((40, 3), np.float32))
    nothing = run_here(capsys, "inspect", "torch.nn:Identity", "--data", rows)
    assert nothing.out.startswith("no random sites\nnot sampled: 40 rows of rows.npz")


def test_bad_usage_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], classifier: Path, images: Path, tmp_path: Path
) -> None:
    np.savez(tmp_path / "wide.npz", x=np.ones((4, 7), np.float32))
    tied, rows = "tests.support.architectures:tied", tmp_path / "rows.npz"
    np.savez(rows, x=np.ones((2, 3), np.float32), y=np.array([0, 7]), names=np.array(["a", "b"]))
    wrong: list[tuple[tuple[str | Path, ...], str]] = [
        ((classifier, "--fail-on", "grave"), "--fail-on must be one of hint, warning, error, got 'grave'"),
        ((classifier, "--plot", "sites.jpeg"), "--plot must end in .pdf, .png, .svg, got 'sites.jpeg'"),
        ((classifier, "--task", "raw"), "a checkpoint has a task of its own"),
        ((classifier, "--data", images, "--json", images), "is the file that is read"),
        (("no.such.package:make", "--data", images), "cannot be imported"),
        (("tests.support.architectures:a_number", "--data", images), "must be callable, got int"),
        (
            ("tests/support/architectures.py:tied", "--data", images),
            "name the module and not its file: tests.support.architectures:tied",
        ),
        ((classifier, "--data", images, "--target", "z"), "the data have no outcomes named 'z'"),
        ((tied, "--data", rows, "--target", "z", "--task", "raw"), "the data have no outcomes named 'z'"),
        ((tied, "--data", rows, "--target", "names"), "--task has to say what they are outcomes of"),
        (
            (tied, "--data", rows, "--target", "names", "--task", "classification"),
            "names must hold numbers (of classes, from 0), got 'a'",
        ),
        (
            (tied, "--data", rows, "--task", "classification"),
            "y must be a class from 0 to 2, got 7",
        ),
        (
            (tied, "--data", tmp_path / "wide.npz"),
            "the model fails on 4 rows of wide.npz",
        ),
    ]
    for arguments, said in wrong:
        finished = run_here(capsys, "inspect", *arguments)
        assert (finished.code, finished.err.count("\n")) == (2, 1)
        assert said in finished.err
