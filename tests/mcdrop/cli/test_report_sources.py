"""What `mcdrop report` takes: checkpoints, factories, saved predictions; and what it writes."""

import json
import shlex
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch

import mcdrop
from mcdrop.checkpoint import InputSpec
from mcdrop.report.files import read_json
from tests.support.architectures import Tied
from tests.support.checkpoints import small_model
from tests.support.command_line import run_here
from tests.support.tolerances import FLOAT32

FACTORY = """
import torch
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(10, 16), nn.ReLU(), nn.Dropout(0.5), nn.Linear(16, 1))
"""


@pytest.fixture
def tables(tmp_path: Path) -> dict[str, Path]:
    """Rows for the regression with a column of groups, rows from elsewhere, and rows of one site only."""
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(60, 10)), generator.normal(size=60)
    np.savez(tmp_path / "rows.npz", x=x, y=y, site=np.array(["north", "south"])[np.arange(60) % 2])
    np.savez(tmp_path / "far.npz", x=10 * x[:20])
    return {"rows": tmp_path / "rows.npz", "far": tmp_path / "far.npz"}


def test_it_writes_a_page_markdown_and_json(
    capsys: pytest.CaptureFixture[str], regression: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    files = {name: tmp_path / f"report.{name}" for name in ("html", "markdown", "json")}
    options = [word for name, path in files.items() for word in (f"--{name}", path)]
    finished = run_here(
        capsys,
        "report",
        regression,
        "--data",
        tables["rows"],
        "--group-by",
        "site",
        "--ood",
        tables["far"],
        *options,
    )
    assert finished.code == 0, finished.err
    HTMLParser().feed(files["html"].read_text())
    report = read_json(files["json"])
    assert [group.group for group in report.groups] == ["north", "south"]
    assert [score.measure for score in report.elsewhere] == ["total", "epistemic"]
    for text in (files["html"].read_text(), files["markdown"].read_text()):
        assert "By site" in text
        assert "Rows from elsewhere" in text
        assert str(report.outcomes_digest) in text
    assert report.facts["digest of the checkpoint"].startswith("sha256:")
    assert report.facts["digest of the data"].startswith("sha256:")


def test_the_command_in_the_report_makes_the_same_report(
    capsys: pytest.CaptureFixture[str],
    regression: Path,
    tables: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first = tmp_path / "first.json"
    run_here(
        capsys,
        "report",
        regression,
        "--data",
        tables["rows"],
        "--seed",
        "3",
        "--level",
        "0.8",
        "--json",
        first,
    )
    monkeypatch.chdir(tmp_path)
    words = shlex.split(read_json(first).facts["command"])
    assert words[:2] == ["mcdrop", "report"]
    second = tmp_path / "second.json"
    assert run_here(capsys, *words[1:], "--json", second).code == 0
    assert (tmp_path / "report.html").exists()
    assert first.read_text() == second.read_text()


def test_predictions_that_were_saved_need_no_model(
    capsys: pytest.CaptureFixture[str], regression: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    rows = np.load(tables["rows"])
    pred = mcdrop.load(regression).predict(rows["x"], keep_samples=True)
    pred.save(tmp_path / "pred.npz")
    out = tmp_path / "r.json"
    finished = run_here(
        capsys, "report", tmp_path / "pred.npz", "--data", tables["rows"], "--group-by", "site", "--json", out
    )
    assert finished.code == 0, finished.err
    expected = mcdrop.evaluate(pred, rows["y"])
    for score in read_json(out).scores:
        np.testing.assert_allclose(score.value, expected.score(score.name).value, **FLOAT32)


def test_predictions_of_other_tools_are_scored(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    probs, y = generator.dirichlet([1, 1, 1], 80), generator.integers(0, 3, 80)
    np.savez(tmp_path / "probs.npz", probabilities=probs, y=y)
    finished = run_here(capsys, "report", tmp_path / "probs.npz", "--json", tmp_path / "r.json")
    assert finished.code == 0, finished.err
    assert "classification: n = 80 rows, no samples" in finished.out
    assert read_json(tmp_path / "r.json").score("accuracy").value == (probs.argmax(1) == y).mean()


def test_naming_a_factory_is_consent_and_its_task_must_be_said(
    capsys: pytest.CaptureFixture[str],
    tables: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "reported_networks.py").write_text(FACTORY)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    arguments = ("report", "reported_networks:network", "--data", tables["rows"])
    unsaid = run_here(capsys, *arguments)
    assert unsaid.code == 2
    assert "says nothing of its task" in unsaid.err
    finished = run_here(capsys, *arguments, "--task", "regression", "--n-samples", "32")
    assert finished.code == 0, finished.err
    assert "regression: n = 60 rows, 32 samples" in finished.out


def test_a_factory_that_a_checkpoint_names_must_be_allowed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save(Tied().state_dict(), tmp_path / "weights.pt")
    x, y = torch.zeros(20, 3).numpy(), torch.zeros(20, 3).numpy()
    np.savez(tmp_path / "rows.npz", x=x, y=y)
    packed = run_here(
        capsys,
        "pack",
        tmp_path / "weights.pt",
        tmp_path / "tied",
        "--architecture",
        "tests.support.architectures:tied",
        "--task",
        "regression",
        "--input",
        "x:float32:3",
    )
    assert packed.code == 0, packed.err
    refused = run_here(capsys, "report", tmp_path / "tied", "--data", tmp_path / "rows.npz")
    assert refused.code == 2
    assert "if you trust it, say --allow-package tests" in refused.err


def test_two_reports_are_compared_on_the_same_rows(
    capsys: pytest.CaptureFixture[str], regression: Path, tables: dict[str, Path], tmp_path: Path
) -> None:
    for name, samples in (("a.json", "4"), ("b.json", "64")):
        run_here(
            capsys,
            "report",
            regression,
            "--data",
            tables["rows"],
            "--n-samples",
            samples,
            "--json",
            tmp_path / name,
        )
    page, out = tmp_path / "c.html", tmp_path / "c.json"
    finished = run_here(
        capsys, "report", "--compare", tmp_path / "a.json", tmp_path / "b.json", "--html", page, "--json", out
    )
    assert finished.code == 0, finished.err
    assert "the same rows; differences are second minus first" in finished.out
    assert "b.json against a.json" in page.read_text()
    nll = next(each for each in json.loads(out.read_text())["scores"] if each["first"]["name"] == "nll")
    assert nll["difference"]["interval"]["lower"] <= nll["difference"]["value"]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ([], "needs a SOURCE, or two reports"),
        (["CHECKPOINT"], "needs rows with outcomes"),
        (["CHECKPOINT", "--data", "ROWS", "--task", "raw"], "has a task of its own"),
        (["CHECKPOINT", "--data", "ROWS", "--group-by", "colour"], "the data lack 'colour'"),
        (["--compare", "ROWS", "ROWS", "--max-ece", "1"], "no SOURCE or limits"),
        (["--compare", "ROWS", "ROWS"], "must be a report that mcdrop wrote"),
        (["ROWS"], "need samples, mean and std, or probabilities"),
        (["no.npz"], "there is no file"),
        (["CHECKPOINT", "--data", "ROWS", "--html", "ROWS"], "is the file that is read"),
        (["CHECKPOINT", "--data", "ROWS", "--ood", "FAR", "--json", "FAR"], "is the file that is read"),
    ],
)
def test_what_does_not_go_together_is_exit_code_2(
    capsys: pytest.CaptureFixture[str],
    regression: Path,
    tables: dict[str, Path],
    arguments: list[str],
    problem: str,
) -> None:
    known = {"CHECKPOINT": regression, "ROWS": tables["rows"], "FAR": tables["far"]}
    finished = run_here(capsys, "report", *(known.get(word, word) for word in arguments))
    assert finished.code == 2
    assert problem in finished.err.replace("\n", " ")


def test_predictions_as_a_table_are_told_the_form_that_is_scored(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "p.csv").write_text("mean\n1\n")
    finished = run_here(capsys, "report", tmp_path / "p.csv", "--data", tmp_path / "p.csv")
    assert finished.code == 2
    assert "predictions are scored as .npz, got" in finished.err
    assert "mcdrop predict --out FILE.npz writes them" in finished.err


def test_a_factory_that_ends_in_a_sigmoid_is_told_and_takes_the_option_that_says_so(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ends_so.py").write_text(
        FACTORY.replace("nn.Linear(16, 1))", "nn.Linear(16, 1), nn.Sigmoid())").replace("network", "sigmoid")
    )
    monkeypatch.syspath_prepend(tmp_path)
    np.savez(tmp_path / "a.npz", input=np.zeros((40, 10), np.float32), y=np.arange(40) % 2)
    words = ("ends_so:sigmoid", "--data", tmp_path / "a.npz", "--task", "binary")
    refused = run_here(capsys, "report", *words)
    assert refused.code == 2
    assert "ends in a sigmoid" in refused.err
    out = tmp_path / "r.json"
    assert run_here(capsys, "report", *words, "--output", "probabilities", "--json", out).code == 0
    assert "--output probabilities" in json.loads(out.read_text())["facts"]["command"]
    assert run_here(capsys, "inspect", *words, "--output", "probabilities").code == 0


def test_what_a_checkpoint_returns_is_not_said_again(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path
) -> None:
    for command in (("report", regression, "--data", table), ("inspect", regression)):
        finished = run_here(capsys, *command, "--output", "probabilities")
        assert finished.code == 2
        assert "a checkpoint has a task of its own" in finished.err


def test_a_table_of_features_outcomes_and_groups_is_scored_by_group(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    inputs = [InputSpec(name="x", dtype="float32", shape=[10])]
    mcdrop.MCDropout(small_model(), task="regression", n_samples=16, tau=0.5).save(
        tmp_path / "small", inputs=inputs
    )
    header = ",".join([*(f"c{i}" for i in range(10)), "y", "site"])
    numbers = np.random.default_rng(0).normal(size=(40, 11)).round(3)
    lines = [",".join([*map(str, row), "north" if row[0] > 0 else "south"]) for row in numbers]
    (tmp_path / "rows.csv").write_text("\n".join([header, *lines]))
    out = tmp_path / "report.json"
    asked = ("report", tmp_path / "small", "--data", tmp_path / "rows.csv", "--json", out)
    assert run_here(capsys, *asked, "--group-by", "site").code == 0
    assert [group.group for group in read_json(out).groups] == ["north", "south"]


TAGGER = """
from torch import nn


def network():
    return nn.Sequential(nn.Embedding(9, 8), nn.Dropout(0.3), nn.Linear(8, 4))
"""


def test_a_factory_that_labels_tokens_is_told_and_takes_the_axis_of_its_classes(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "taggers.py").write_text(TAGGER)
    monkeypatch.syspath_prepend(tmp_path)
    words = np.random.default_rng(0).integers(9, size=(30, 7))
    np.savez(tmp_path / "rows.npz", x=words, y=words % 4)
    asked = ("taggers:network", "--data", tmp_path / "rows.npz", "--task", "classification")
    for command in ("report", "inspect"):
        refused = run_here(capsys, command, *asked)
        assert refused.code == 2
        assert "(--class-axis -1 on the command line)" in refused.err
        assert run_here(capsys, command, *asked, "--class-axis", "-1").code == 0


def test_names_of_classes_beside_saved_predictions_are_told_what_to_write(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    np.savez(tmp_path / "p.npz", probabilities=np.full((4, 2), 0.5), y=np.array(["no", "yes"] * 2))
    finished = run_here(capsys, "report", tmp_path / "p.npz")
    assert finished.code == 2
    assert "got 'no'; write each class as its place among the probabilities, from 0" in finished.err
