"""`mcdrop calibrate` writes a new version that predicts what was fitted, and says what changes."""

import hashlib
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import mcdrop
from mcdrop.calibrating import calibrate
from mcdrop.calibration.fitted import Calibrator
from mcdrop.calibration.std_scaling import StdScaling
from mcdrop.checkpoint import resolve_version
from mcdrop.cli import crossfit
from mcdrop.datafiles import Data
from mcdrop.predictive import ClassificationPredictive, Predictive
from tests.support.checkpoints import edit_manifest
from tests.support.command_line import run_here
from tests.support.tolerances import FLOAT32


@pytest.fixture
def spare(tmp_path: Path, regression: Path) -> Path:
    """A copy of the regression's checkpoint."""
    return Path(shutil.copytree(regression, tmp_path / "small"))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixty rows for the regression, as `.npz`."""
    path = tmp_path_factory.mktemp("held") / "rows.npz"
    generator = np.random.default_rng(1)
    x = generator.normal(size=(60, 10)).astype(np.float32)
    np.savez(path, columns=x, y=generator.normal(size=60).astype(np.float32))
    return path


def test_a_new_version_lies_beside_the_old_and_applies_what_was_fitted(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path
) -> None:
    finished = run_here(
        capsys, "calibrate", spare, "--data", rows, "--method", "std", "--method", "conformal-quantiles"
    )
    assert finished.code == 0, finished.err
    assert f"wrote {spare / '2'}: std, conformal-quantiles, fitted on 60 rows" in finished.out
    assert "promised intervals: coverage" in finished.out
    old, new = mcdrop.load(f"{spare}@1"), mcdrop.load(spare)
    assert [each.kind for each in new.calibrators] == ["std_scaling", "conformal_quantiles"]
    factor = new.calibrators[0]
    assert isinstance(factor, StdScaling)
    x = np.load(rows)["columns"]
    before, after = old.predict(x), new.predict(x, keep_samples=False)
    np.testing.assert_allclose(after.std, factor.factor * before.std, **FLOAT32)
    assert after.numpy()["lower"].shape == before.mean.shape
    assert after.notes == ()
    assert new.predict(x[:2], n_samples=8).notes == ("calibration is void: n_samples is 8, fitted with 16",)
    card = (spare / "2" / "README.md").read_text()
    assert "## Calibration" in card
    assert "| promised intervals: coverage |" in card


def test_a_report_says_that_it_judges_the_rows_of_the_fit(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path, tmp_path: Path
) -> None:
    with np.load(rows) as held:
        np.savez(tmp_path / "others.npz", columns=held["columns"][::-1], y=held["y"])
    run_here(capsys, "calibrate", spare, "--data", rows, "--method", "std")
    told = run_here(capsys, "report", spare, "--data", rows).out
    assert "note: std_scaling: fitted on these very rows" in told
    assert "very rows" not in run_here(capsys, "report", spare, "--data", tmp_path / "others.npz").out


def test_predict_and_report_use_it_and_say_when_it_is_void(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path
) -> None:
    run_here(capsys, "calibrate", spare, "--data", rows, "--method", "std")
    report = run_here(capsys, "report", spare, "--data", rows, "--n-samples", "8")
    assert "calibration is void: n_samples is 8, fitted with 16" in " ".join(report.out.split())
    found = run_here(capsys, "predict", spare, rows, "--n-samples", "8")
    assert "calibration is void: n_samples is 8, fitted with 16" in " ".join(found.out.split())
    assert "void" not in run_here(capsys, "predict", spare, rows).out


def test_predictions_written_to_a_file_say_there_and_on_the_console_that_a_promise_is_void(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path, tmp_path: Path
) -> None:
    run_here(capsys, "calibrate", spare, "--data", rows, "--method", "conformal")
    out = tmp_path / "predictions.csv"
    void = run_here(capsys, "predict", spare, rows, "--n-samples", "8", "--out", out)
    assert void.code == 0
    assert void.err == "note: calibration is void: n_samples is 8, fitted with 16\n"
    assert "calibration is void: n_samples is 8, fitted with 16" in out.read_text().splitlines()[1]
    assert run_here(capsys, "predict", spare, rows, "--out", out).err == ""
    assert "void" not in out.read_text()


def test_a_third_version_starts_from_the_one_that_is_named(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path
) -> None:
    run_here(capsys, "calibrate", spare, "--data", rows, "--method", "std")
    run_here(capsys, "calibrate", f"{spare}@1", "--data", rows, "--method", "tau", "--seed", "5")
    newest = mcdrop.load(spare)
    assert resolve_version(spare) == spare / "3"
    assert [each.kind for each in newest.calibrators] == ["noise_precision"]
    assert newest.seed == 5
    assert newest.tau != mcdrop.load(f"{spare}@1").tau
    on_top = run_here(capsys, "calibrate", spare / "3", "--data", rows, "--method", "std")
    assert f"wrote {spare / '4'}" in on_top.out
    assert [each.kind for each in mcdrop.load(spare).calibrators] == ["noise_precision", "std_scaling"]


DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


def test_classes_get_probabilities_sets_and_answers(
    capsys: pytest.CaptureFixture[str], classifier: Path, tmp_path: Path
) -> None:
    spare = Path(shutil.copytree(classifier, tmp_path / "images"))
    generator = np.random.default_rng(0)
    pixels = generator.uniform(0, 16, size=(120, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=pixels, y=np.arange(120) % 10)
    methods = ("--method", "temperature", "--method", "sets", "--method", "selective", "--risk", "0.5")
    finished = run_here(capsys, "calibrate", spare, "--data", tmp_path / "rows.npz", *methods, "--folds", "2")
    assert finished.code == 0, finished.err
    assert "prediction sets: coverage" in finished.out
    assert "answered: share of rows" in finished.out
    pred = mcdrop.load(spare).predict(pixels[:3])
    assert isinstance(pred, ClassificationPredictive)
    assert {"answered", "prediction_set"} <= set(pred.available_outputs())
    shown = run_here(capsys, "predict", spare, tmp_path / "rows.npz").out
    held = [name for name, inside in zip(DIGITS, pred.prediction_set[0].tolist(), strict=True) if inside]
    assert f" {', '.join(held)} │" in shown


def test_what_promises_sees_no_row_that_a_map_has_followed(
    classifier: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, set[int]] = {}

    def noted(pred: Predictive, y: torch.Tensor, method: str, *, risk: float) -> Calibrator:
        seen[method] = set(y.tolist())
        return calibrate(pred, y % 10, method, risk=risk)

    monkeypatch.setattr(crossfit, "calibrate", noted)
    pixels = np.random.default_rng(0).uniform(0, 16, size=(120, 1, 8, 8)).astype(np.float32)
    for methods in (("isotonic", "sets", "selective"), ("temperature", "sets"), ("isotonic",)):
        fit = crossfit.Fit(methods, {"risk": 0.5}, None, None)
        numbers, every = torch.arange(120), set(range(120))
        crossfit.fitted(mcdrop.load(classifier), Data({"image": pixels}, None), numbers, fit, range(120))
        if "selective" in methods:
            assert seen["sets"] == seen["selective"] == every - seen["isotonic"]
            assert len(seen["sets"]) == 60
        else:
            assert all(seen[method] == every for method in methods)


def test_a_promise_about_rows_that_a_map_has_followed_is_refused(
    capsys: pytest.CaptureFixture[str], classifier: Path, tmp_path: Path
) -> None:
    spare = Path(shutil.copytree(classifier, tmp_path / "images"))
    pixels = np.random.default_rng(0).uniform(0, 16, size=(140, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=pixels, y=np.arange(140) % 10)
    asked = ("calibrate", spare, "--folds", "2", "--data", tmp_path / "rows.npz", "--method")
    assert run_here(capsys, *asked, "isotonic").code == 0
    refused = run_here(capsys, *asked, "sets")
    assert refused.code == 2
    assert "class_isotonic of this version was fitted on these rows and follows them" in refused.err
    np.savez(tmp_path / "rows.npz", image=pixels[::-1], y=np.arange(140) % 10)
    assert run_here(capsys, *asked, "sets").code == 0
    few = run_here(capsys, "calibrate", f"{spare}@1", *asked[2:], "vector", "--method", "sets")
    assert few.code == 2
    assert "at least 100 rows, got 70, which is one half of 140" in few.err


def test_few_errors_are_said_to_carry_what_is_fitted_to_probabilities(
    capsys: pytest.CaptureFixture[str], classifier: Path, tmp_path: Path
) -> None:
    spare = Path(shutil.copytree(classifier, tmp_path / "images"))
    pixels = np.random.default_rng(0).uniform(0, 16, size=(40, 1, 8, 8)).astype(np.float32)
    pred = mcdrop.load(spare).predict(pixels)
    assert isinstance(pred, ClassificationPredictive)
    said = pred.label.numpy()
    for wrong, noted in ((3, True), (20, False)):
        y = np.where(np.arange(40) < wrong, (said + 1) % 10, said)
        np.savez(tmp_path / "rows.npz", image=pixels, y=y)
        asked = ("calibrate", f"{spare}@1", "--data", tmp_path / "rows.npz", "--folds", "2")
        finished = run_here(capsys, *asked, "--method", "temperature", "--method", "sets")
        assert finished.code == 0, finished.err
        assert ("note: 3 of 40 rows are wrong, and what is fitted to probabilities" in finished.out) is noted
        assert "are wrong" not in run_here(capsys, *asked, "--method", "sets").out


@pytest.mark.parametrize(
    "methods", [("std",), ("std-levels", "conformal"), ("quantiles",), ("conformal-quantiles",)]
)
def test_networks_that_tell_their_noise_are_corrected_too(
    capsys: pytest.CaptureFixture[str], noisy: Path, tmp_path: Path, methods: tuple[str, ...]
) -> None:
    spare = Path(shutil.copytree(noisy, tmp_path / "noisy"))
    generator = np.random.default_rng(0)
    pixels = generator.uniform(0, 16, size=(80, 1, 8, 8)).astype(np.float32)
    np.savez(tmp_path / "rows.npz", image=pixels, y=3 * generator.normal(size=(80, 5)))
    asked = [word for method in methods for word in ("--method", method)]
    finished = run_here(capsys, "calibrate", spare, "--data", tmp_path / "rows.npz", *asked, "--folds", "3")
    assert finished.code == 0, finished.err
    old, new = mcdrop.load(f"{spare}@1"), mcdrop.load(spare)
    assert len(new.calibrators) == len(methods)
    before, after = old.predict(pixels[:20]), new.predict(pixels[:20])
    if "std" in methods[0]:
        assert float(after.std.mean()) > 2 * float(before.std.mean())  # the errors are about three
    if "conformal" in methods[-1]:
        assert {"lower", "upper"} <= after.numpy().keys()
    report = run_here(capsys, "report", spare, "--data", tmp_path / "rows.npz", "--n-samples", "32")
    assert report.code == 0, report.err
    assert "calibration is void: n_samples is 32, fitted with 16" in " ".join(report.out.split())


@pytest.mark.parametrize(
    ("method", "words"),
    [
        ("sets", "a promise of prediction sets at level 0.9 needs at least 9 rows, got 5"),
        ("temperature", "needs at least 20 rows, got 5"),
    ],
)
def test_five_rows_are_told_how_many_the_calibrator_needs(
    capsys: pytest.CaptureFixture[str], classifier: Path, tmp_path: Path, method: str, words: str
) -> None:
    spare = Path(shutil.copytree(classifier, tmp_path / "images"))
    np.savez(tmp_path / "rows.npz", image=np.ones((5, 1, 8, 8), np.float32), y=np.arange(5))
    finished = run_here(capsys, "calibrate", spare, "--data", tmp_path / "rows.npz", "--method", method)
    assert finished.code == 2
    assert words in finished.err


def test_one_level_says_that_it_equals_one_factor(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path
) -> None:
    finished = run_here(capsys, "calibrate", spare, "--data", rows, "--method", "std-levels")
    assert "note: std-levels found one level, so it is the same as std" in finished.out


def test_the_rows_of_the_training_are_refused_unless_forced(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path
) -> None:
    with np.load(rows) as arrays:
        content = arrays["columns"].tobytes() + arrays["y"].tobytes()
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    edit_manifest(spare, lambda document: document["training"].update({"digest": digest}))
    refused = run_here(capsys, "calibrate", spare, "--data", rows, "--method", "std")
    assert refused.code == 2
    assert "holds the rows that the network was trained on" in refused.err
    assert run_here(capsys, "calibrate", spare, "--data", rows, "--method", "std", "--force").code == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--method", "magic"], "methods for the task regression are tau, std, .*; got 'magic'"),
        (["--method", "sets"], "got 'sets'"),
        (["--method", "std", "--folds", "40"], "40 folds need at least 80 rows, got 60"),
        (
            ["--method", "quantiles"],
            "quantile recalibration needs at least 50 rows, got 48: the 60 rows would do, .* leaves 12 of",
        ),
        (
            ["--method", "conformal", "--level", "0.99"],
            "intervals at level 0.99 needs at least 99 rows, got 60",
        ),
    ],
)
def test_what_cannot_be_done_is_said_and_nothing_is_written(
    capsys: pytest.CaptureFixture[str], spare: Path, rows: Path, options: list[str], words: str
) -> None:
    finished = run_here(capsys, "calibrate", spare, "--data", rows, *options)
    assert finished.code == 2
    assert re.search(words, finished.err)
    assert not (spare / "2").exists()
