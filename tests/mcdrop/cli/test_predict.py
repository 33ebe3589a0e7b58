"""`mcdrop predict` gives the library's numbers, in the file that was asked for."""

import csv
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import mcdrop
from tests.support.command_line import drawn_on_a_terminal, run_here
from tests.support.tolerances import EXACT, FLOAT32


def columns_of(path: Path) -> dict[str, np.ndarray]:
    """A `.csv` file, by column."""
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(row[name]) for row in rows]) for name in rows[0]}


def test_the_table_shows_the_first_rows_and_what_was_drawn(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path
) -> None:
    finished = run_here(capsys, "predict", regression, table, "--seed", "7")
    assert finished.code == 0
    assert "small: first 10 of 40 rows, 16 samples, seed 7" in finished.out
    assert all(name in finished.out for name in ("mean", "std", "epistemic_std", "aleatoric_std"))


def test_classes_are_shown_by_name(
    capsys: pytest.CaptureFixture[str], classifier: Path, images: Path
) -> None:
    finished = run_here(capsys, "predict", classifier, images)
    label = mcdrop.load(classifier).predict(np.load(images)["x"]).mean[0].argmax()
    names = ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]
    assert names[int(label)] in finished.out
    assert all(name in finished.out for name in ("mean of label", "predictive_entropy", "mutual_information"))


def test_a_table_s_columns_are_found_by_name_whatever_their_order(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.csv"
    assert run_here(capsys, "predict", regression, table, "--out", out).code == 0
    rows = columns_of(table)
    x = np.stack([rows[f"c{i}"] for i in range(10)], axis=1)
    expected = mcdrop.load(regression).predict(x)
    np.testing.assert_allclose(columns_of(out)["mean"], expected.mean[:, 0].numpy(), **FLOAT32)
    np.testing.assert_allclose(columns_of(out)["std"], expected.std[:, 0].numpy(), **FLOAT32)


def test_exact_bits_are_the_library_s(
    capsys: pytest.CaptureFixture[str], classifier: Path, images: Path, tmp_path: Path
) -> None:
    out = tmp_path / "p.json"
    arguments = ("--n-samples", "20", "--seed", "5", "--exact", "--out", out)
    assert run_here(capsys, "predict", classifier, images, *arguments).code == 0
    expected = mcdrop.load(classifier).predict(np.load(images)["x"], n_samples=20, seed=5, exact=True)
    document = json.loads(out.read_text())
    assert (document["n_samples"], document["seed"], document["exact"]) == (20, 5, True)
    mean = torch.tensor(document["outputs"]["mean"], dtype=torch.float32)
    torch.testing.assert_close(mean, expected.mean, **EXACT)


@pytest.mark.parametrize("suffix", [".csv", ".json", ".npz", ".parquet"])
def test_every_format_is_written_quietly_and_replaces_what_was_there(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, tmp_path: Path, suffix: str
) -> None:
    out = tmp_path / f"p{suffix}"
    out.write_text("old")
    finished = run_here(capsys, "predict", regression, table, "--out", out)
    assert (finished.code, finished.out, finished.err) == (0, "", "")
    assert out.read_bytes() != b"old"
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.mark.parametrize("suffix", [".csv", ".json", ".npz"])
def test_rows_take_as_many_samples_as_a_tolerance_needs(
    capsys: pytest.CaptureFixture[str], classifier: Path, images: Path, tmp_path: Path, suffix: str
) -> None:
    arguments = ("--tolerance", "0.02", "--max-samples", "200", "--exact")
    shown = run_here(capsys, "predict", classifier, images, *arguments)
    assert "12 rows, at most 200 samples" in shown.out
    assert "samples_taken" in shown.out
    out = tmp_path / f"p{suffix}"
    assert run_here(capsys, "predict", classifier, images, *arguments, "--out", out).code == 0
    expected = mcdrop.load(classifier).predict(
        np.load(images)["x"], n_samples="auto", tolerance=0.02, max_samples=200, exact=True
    )
    assert taken_in(out) == expected.samples_taken.tolist()


def taken_in(path: Path) -> list[int]:
    """The samples that each row took, from a file of any format."""
    if path.suffix == ".csv":
        with path.open(newline="") as file:
            return [int(row["samples_taken"]) for row in csv.DictReader(file)]
    if path.suffix == ".json":
        return list(json.loads(path.read_text())["outputs"]["samples_taken"])
    return [int(taken) for taken in mcdrop.load_predictions(path).samples_taken]


@pytest.mark.parametrize("keep", [True, False])
def test_samples_are_kept_on_request(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, tmp_path: Path, keep: bool
) -> None:
    out = tmp_path / "p.npz"
    run_here(capsys, "predict", regression, table, "--out", out, *(["--keep-samples"] if keep else []))
    kept = mcdrop.load_predictions(out).kept_samples
    assert (kept is not None) == keep
    assert kept is None or kept.shape == (16, 40, 1)


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--out", "p.pkl"], "predictions are written to"),
        (["--device", "abacus"], "the device 'abacus' cannot be used"),
        (["--n-samples", "1"], "--n-samples"),
        (["--n-samples", "64", "--tolerance", "0.1"], "leave --n-samples out"),
        (["--max-samples", "64"], "tolerance and max_samples belong to n_samples='auto'"),
        (["--tolerance", "0"], "tolerance must be a positive number"),
        (["--seed", "-1"], "--seed"),
        (["--target", "c0"], "the data lack c0"),
    ],
)
def test_a_wrong_option_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path, arguments: list[str], problem: str
) -> None:
    finished = run_here(capsys, "predict", regression, table, *arguments)
    assert finished.code == 2
    assert problem in finished.err


def test_a_wrong_format_is_refused_before_anything_is_computed(
    capsys: pytest.CaptureFixture[str], table: Path
) -> None:
    finished = run_here(capsys, "predict", "no/such/checkpoint", table, "--out", "p.pkl")
    assert "predictions are written to" in finished.err
    finished = run_here(capsys, "predict", "no/such/checkpoint", table, "--out", "no/such/p.npz")
    assert "there is no directory no/such" in finished.err


def test_the_data_cannot_be_overwritten(
    capsys: pytest.CaptureFixture[str], regression: Path, table: Path
) -> None:
    before = table.read_bytes()
    finished = run_here(capsys, "predict", regression, table, "--out", table)
    assert finished.code == 2
    assert "is the file that is read" in finished.err
    assert table.read_bytes() == before


@pytest.mark.parametrize(
    ("x", "problem"),
    [
        (np.zeros((3, 9)), "columns must have shape (N, 10), got (N, 9)"),
        (np.zeros((3, 2, 10)), "columns must have shape (N, 10), got (N, 2, 10)"),
        (np.full((3, 10), np.nan), "columns must be finite"),
        (np.zeros((0, 10)), "at least one row"),
    ],
)
def test_rows_that_do_not_fit_say_what_was_wanted(
    capsys: pytest.CaptureFixture[str], regression: Path, tmp_path: Path, x: np.ndarray, problem: str
) -> None:
    np.savez(tmp_path / "a.npz", x=x)
    finished = run_here(capsys, "predict", regression, tmp_path / "a.npz")
    assert finished.code == 2
    assert problem in finished.err


def test_a_progress_bar_is_drawn_where_there_is_a_terminal(
    regression: Path, table: Path, tmp_path: Path
) -> None:
    program = Path(sys.executable).with_name("mcdrop")
    drawn = drawn_on_a_terminal(program, "predict", regression, table, "--out", tmp_path / "p.csv")
    assert b"40/40" in drawn
