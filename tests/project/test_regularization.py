"""The regularization guide: its tables are those that the scripts wrote, and what it says in words holds."""

import itertools
import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from docs.figures.adaptive_l2 import adaptive_penalty
from docs.figures.redundancy import without
from docs.figures.regularizers import shifted
from tests.support.markdown import blocks, links
from tests.support.repository import ROOT
from tests.support.tolerances import FLOAT32, FLOAT64

GUIDE = ROOT / "docs" / "regularization.md"
FIGURES = ROOT / "docs" / "figures"
SCRIPTS = sorted(set(re.findall(r"python -m docs\.figures\.(\w+)", GUIDE.read_text())))

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(20, 5, generator=GENERATOR, dtype=torch.float64)
Y = torch.randn(20, generator=GENERATOR, dtype=torch.float64)
W = torch.randn(5, generator=GENERATOR, dtype=torch.float64)


def masks(units: int) -> Tensor:
    """All of them: (2^D, D)."""
    return torch.tensor(list(itertools.product([0.0, 1.0], repeat=units)), dtype=torch.float64)


def mean_over_masks(losses: Tensor, p: float) -> Tensor:
    """Of one loss for each mask of five units."""
    kept = masks(5).sum(1)
    return ((1 - p) ** kept * p ** (5 - kept) * losses).sum()


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_guide_shows_what_the_script_printed(script: str) -> None:
    shown = [block.text for block in blocks(GUIDE) if block.language == "txt"]
    assert (FIGURES / f"{script}.txt").read_text() in shown


def test_every_figure_is_drawn_by_a_script_that_make_runs_and_is_small() -> None:
    drawn = {link.split("/")[-1].removesuffix(".svg") for link in links(GUIDE) if link.endswith(".svg")}
    (command,) = re.findall(r"for figure in (.*);", (ROOT / "Makefile").read_text())
    assert drawn == set(SCRIPTS) <= set(command.split(";")[0].split())
    for script in SCRIPTS:
        assert (FIGURES / f"{script}.svg").stat().st_size < 150_000


def test_the_worked_numbers_of_the_textbook() -> None:
    x, mask = torch.tensor([1.0, 2.0, 3.0, 4.0]), torch.tensor([1.0, 0.0, 1.0, 0.0])
    assert (x * mask / 0.5).tolist() == [2.0, 0.0, 6.0, 0.0]
    assert (x * mask).tolist() == [1.0, 0.0, 3.0, 0.0]


def test_dropout_before_relu_is_dropout_after_it() -> None:
    for mask in masks(5):
        torch.testing.assert_close((X * mask / 0.7).relu(), X.relu() * mask / 0.7, **FLOAT64)


@pytest.mark.parametrize("p", [0.1, 0.5, 0.8])
def test_in_linear_regression_dropout_is_an_l2_penalty_with_a_strength_for_each_weight(p: float) -> None:
    noisy = torch.stack([((X * mask / (1 - p)) @ W - Y).square().sum() for mask in masks(5)])
    # every row has a mask of its own; the mean over masks of a sum over rows is the same
    penalty = p / (1 - p) * (W.square() * X.square().sum(0)).sum()
    wanted = (X @ W - Y).square().sum() + penalty
    torch.testing.assert_close(mean_over_masks(noisy, p), wanted, **FLOAT64)


def test_in_logistic_regression_it_is_so_to_second_order() -> None:
    """What is left falls faster than the penalty: for weights ten times smaller it is a smaller share."""
    p, labels = 0.3, (Y > 0).double()
    errors = []
    for scale in (1.0, 0.1):
        w = W * scale
        noisy = [F.binary_cross_entropy_with_logits((X * mask / (1 - p)) @ w, labels) for mask in masks(5)]
        exact = mean_over_masks(torch.stack(noisy), p) - F.binary_cross_entropy_with_logits(X @ w, labels)
        approximate = adaptive_penalty(X, w, p)
        errors.append(float((exact - approximate).abs() / approximate))
    assert errors[1] < 0.02
    assert errors[1] < errors[0] / 10


def test_the_deterministic_pass_of_a_linear_network_is_the_mean_of_its_sub_networks() -> None:
    p = 0.4
    outputs = torch.stack([(X[0] * mask / (1 - p)) @ W for mask in masks(5)])
    torch.testing.assert_close(mean_over_masks(outputs, p), X[0] @ W, **FLOAT64)


def test_the_deterministic_pass_of_a_softmax_is_the_geometric_mean_of_its_sub_networks() -> None:
    """Srivastava et al. 2014 call it an approximation; for one layer it is exact after normalising."""
    p, weights = 0.4, torch.stack([W, -W, W.flip(0)])
    logs = torch.stack([(weights @ (X[0] * mask / (1 - p))).log_softmax(0) for mask in masks(5)])
    geometric = torch.stack([mean_over_masks(column, p) for column in logs.T]).softmax(0)
    torch.testing.assert_close(geometric, (weights @ X[0]).softmax(0), **FLOAT64)


def test_a_digit_that_is_moved_keeps_its_inner_pixels() -> None:
    digit = torch.zeros(30, 64)
    digit[:, 3 * 8 + 4] = 1.0
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        moved = shifted(digit)
    assert moved.sum(1).tolist() == [1.0] * 30
    rows, columns = moved.argmax(1) // 8, moved.argmax(1) % 8
    assert set(rows.tolist()) == {2, 3, 4}
    assert set(columns.tolist()) == {3, 4, 5}


def test_units_are_removed_from_every_hidden_layer() -> None:
    model = nn.Sequential(nn.Linear(4, 128), nn.ReLU(), nn.Linear(128, 3))
    x = torch.ones(2, 4)
    torch.testing.assert_close(without(model, x, 0.0, 0), model(x), **FLOAT32)
    assert not torch.allclose(without(model, x, 0.5, 0), model(x))
    nothing_left = model[2](torch.zeros(2, 128))
    torch.testing.assert_close(without(model, x, 1.0, 0), nothing_left, **FLOAT32)
    assert math.isfinite(float(nothing_left.detach().sum()))
