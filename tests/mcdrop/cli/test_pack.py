"""`mcdrop pack` makes a checkpoint that gives the numbers of the packed network."""

from pathlib import Path

import numpy as np
import pytest
import torch

import mcdrop
from tests.support.architectures import Tied
from tests.support.checkpoints import small_model
from tests.support.command_line import run_here
from tests.support.tolerances import EXACT, FLOAT32

ZOO = ("--architecture", "diabetes_mlp", "--arguments", '{"hidden": 4, "p": 0.5}', "--task", "regression")
INPUT = ("--input", "columns:float32:10")


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """The state dict of the small network."""
    torch.save(small_model().state_dict(), tmp_path / "net.pt")
    return tmp_path / "net.pt"


def test_a_packed_network_predicts_as_the_network_does(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    options = ("--tau", "0.5", "--n-samples", "32", "--seed", "9", "--name", "packed")
    finished = run_here(capsys, "pack", weights, tmp_path / "out", *ZOO, *INPUT, *options)
    assert (finished.code, finished.err) == (0, "")
    x = torch.randn(3, 10, generator=torch.Generator().manual_seed(0))
    packed = mcdrop.load(tmp_path / "out")
    original = mcdrop.MCDropout(small_model(), task="regression", tau=0.5, n_samples=32, seed=9)
    torch.testing.assert_close(
        packed.predict(x, exact=True).mean, original.predict(x, exact=True).mean, **EXACT
    )
    assert packed.manifest is not None
    assert packed.manifest.name == "packed"


def test_a_factory_is_named_once_more_by_who_loads_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    torch.save({"state_dict": {f"net.{k}": v for k, v in Tied().state_dict().items()}}, tmp_path / "a.ckpt")
    options = (
        "--architecture",
        "tests.support.architectures:tied",
        "--task",
        "raw",
        "--input",
        "x:float32:3",
    )
    target = tmp_path / "tied"
    arguments = ("pack", tmp_path / "a.ckpt", target, *options)
    assert "mcdrop pack takes --prefix net." in run_here(capsys, *arguments).err
    packed = run_here(capsys, *arguments, "--prefix", "net.")
    assert packed.out == f"wrote {target}; look at it with: mcdrop inspect {target} --allow-package tests\n"
    refused = run_here(capsys, "inspect", target)
    assert refused.code == 2
    assert "say --allow-package tests, or allow=['tests'] in Python" in refused.err
    assert run_here(capsys, "inspect", target, "--allow-package", "tests").code == 0


def test_columns_that_have_names_are_found_among_others_in_any_order(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    names = [f"c{i}" for i in range(10)]
    for directory, options in (("named", ("--columns", ",".join(names))), ("unnamed", ())):
        assert run_here(capsys, "pack", weights, tmp_path / directory, *ZOO, *INPUT, *options).code == 0
    x = np.random.default_rng(0).normal(size=(3, 10)).round(3)
    table, site = tmp_path / "rows.csv", ["north", "south", "north"]
    for order in (names, names[::-1]):
        rows = [[*(str(row[names.index(name)]) for name in order), s] for row, s in zip(x, site, strict=True)]
        table.write_text("\n".join(map(",".join, [[*order, "site"], *rows])))
        out = tmp_path / "out.npz"
        assert run_here(capsys, "predict", tmp_path / "named", table, "--out", out).code == 0
        expected = mcdrop.load(tmp_path / "named").predict(x)
        torch.testing.assert_close(mcdrop.load_predictions(out).mean, expected.mean, **FLOAT32)
    refused = run_here(capsys, "predict", tmp_path / "unnamed", table)
    assert refused.code == 2
    assert "site must be numbers, got 'north' in row 0; where a checkpoint lists no columns" in refused.err


def test_an_existing_checkpoint_is_replaced_only_on_request(
    capsys: pytest.CaptureFixture[str], weights: Path, tmp_path: Path
) -> None:
    arguments = ("pack", weights, tmp_path / "out", *ZOO, *INPUT)
    assert run_here(capsys, *arguments).code == 0
    refused = run_here(capsys, *arguments)
    assert refused.code == 2
    assert "exists" in refused.err
    assert run_here(capsys, *arguments, "--overwrite").code == 0


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (("--input", "columns"), "--input must be NAME:DTYPE:SHAPE"),
        (("--input", "columns:float99:10"), "InputSpec: dtype"),
        (
            (*INPUT, "--columns", "a,b"),
            "--columns names the K columns of one input NAME:DTYPE:K, got 2 for columns",
        ),
        ((*INPUT, "--columns", ",".join("abcdefghia")), "must not name anything twice"),
        ((*INPUT, "--arguments", "{"), "--arguments must be JSON"),
        ((*INPUT, "--arguments", "[]"), "--arguments must be a JSON object"),
        ((*INPUT, "--arguments", '{"hidden": 5}'), "must have shape (5, 10), got (4, 10)"),
        ((*INPUT, "--architecture", "resnet"), "a function of your own is named package.module:function"),
        ((*INPUT, "--task", "clustering"), "clustering"),
        ((*INPUT, "--classes", "a,b"), "classes belong to a classification"),
        ((*INPUT, "--prefix", "net."), "starts with 'net.'"),
    ],
)
def test_a_wrong_option_is_one_line_and_leaves_nothing(
    capsys: pytest.CaptureFixture[str],
    weights: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    problem: str,
) -> None:
    finished = run_here(capsys, "pack", weights, tmp_path / "out", *ZOO, *arguments)
    assert finished.code == 2
    assert problem in finished.err
    assert not (tmp_path / "out").exists()
