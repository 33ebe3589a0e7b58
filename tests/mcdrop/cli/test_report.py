"""`mcdrop report` scores as the library does, and its limits decide the exit code."""

import json
from pathlib import Path

import numpy as np
import pytest

import mcdrop
from tests.support.command_line import run_here
from tests.support.tolerances import FLOAT32


def test_the_json_holds_what_the_library_finds(
    capsys: pytest.CaptureFixture[str], classifier: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    finished = run_here(capsys, "report", classifier, "--data", images, "--json", out)
    assert finished.code == 0
    assert "deterministic" in finished.out
    data = np.load(images)
    expected = mcdrop.evaluate(mcdrop.load(classifier).predict(data["x"]), data["y"])
    scores = {score["name"]: score["value"] for score in json.loads(out.read_text())["scores"]}
    for score in expected.scores:
        np.testing.assert_allclose(scores[score.name], score.value, **FLOAT32)


def test_a_regression_is_scored_with_its_noise(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path
) -> None:
    finished = run_here(capsys, "report", regression, "--data", table)
    assert finished.code == 0
    assert all(name in finished.out for name in ("RMSE", "NLL", "CRPS", "coverage", "n = 40 rows"))


def test_limits_that_are_met_are_said_to_be(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path
) -> None:
    finished = run_here(
        capsys, "report", regression, "--data", table, "--max-rmse", "1e9", "--min-coverage", "0"
    )
    assert finished.code == 0
    assert "all limits are met: max-rmse 1e+09, min-coverage 0" in finished.out


def test_a_limit_that_is_not_met_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "r.json"
    finished = run_here(capsys, "report", regression, "--data", table, "--max-rmse", "1e-9", "--json", out)
    assert finished.code == 1
    assert finished.err.startswith("failed: rmse is ")
    assert finished.err.count("\n") == 1
    assert out.exists()


def test_a_strict_limit_judges_the_worse_end_of_the_interval(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, tmp_path: Path
) -> None:
    run_here(capsys, "report", regression, "--data", table, "--json", tmp_path / "r.json")
    scores = json.loads((tmp_path / "r.json").read_text())["scores"]
    rmse = next(score for score in scores if score["name"] == "rmse")
    limit = str((rmse["value"] + rmse["interval"]["upper"]) / 2)
    arguments = ("report", regression, "--data", table, "--max-rmse", limit)
    assert run_here(capsys, *arguments).code == 0
    assert run_here(capsys, *arguments, "--strict").code == 1


def test_outcomes_may_be_the_names_of_classes(
    capsys: pytest.CaptureFixture[str], classifier: Path, tmp_path: Path
) -> None:
    x = np.zeros((2, 64), np.float32)
    for names, code in ((["nine", "zero"], 0), (["nine", "ten"], 2)):
        np.savez(tmp_path / "a.npz", image=x, y=np.array(names))
        finished = run_here(capsys, "report", classifier, "--data", tmp_path / "a.npz")
        assert finished.code == code
    assert "y must be one of the model's classes (zero, one, " in finished.err
    assert "got 'ten'" in finished.err


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--target", "z"], "no outcomes named 'z'"),
        (["--max-ece", "0.1"], "a report of regression has: rmse"),
        (["--max-ece", "1.5"], "--max-ece must lie between 0 and 1, got 1.5"),
        (["--strict"], "--strict is about limits such as --max-ece"),
        (["--max-rmse", "nan"], "--max-rmse must be at least 0, got nan"),
        (["--level", "2"], "level"),
        (["--json", "no/such/folder/r.json"], "cannot be written: there is no directory no/such/folder"),
    ],
)
def test_a_wrong_option_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], regression: Path, tmp_path: Path, arguments: list[str], problem: str
) -> None:
    np.savez(tmp_path / "a.npz", x=np.zeros((20, 10)), y=np.zeros(20))
    finished = run_here(capsys, "report", regression, "--data", tmp_path / "a.npz", *arguments)
    assert finished.code == 2
    assert problem in finished.err


def test_the_data_cannot_be_overwritten(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path
) -> None:
    assert run_here(capsys, "report", regression, "--data", table, "--json", table).code == 2
