"""The benchmark on UCI tables, small: its splits, its stacks, and one table from end to end."""

import lzma
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from benchmarks import uci
from benchmarks.gal import networks
from benchmarks.gal.tables import Rows, read_table, rows_of, scaling_of, splits
from tests.support.predictions import generator, normal, uniform
from tests.support.tolerances import FLOAT32, monte_carlo

SMALL = replace(uci.EXPERIMENTS["yacht"], epochs=150, splits=2, p=0.05, taus=(0.5, 2.0))


def line(rows: int = 120) -> Tensor:
    """Three columns and their noisy sum."""
    x = normal(rows, 3)
    return torch.cat([x, x.sum(1, keepdim=True) + 0.3 * normal(rows, 1, seed=1)], 1)


def test_a_split_of_ten_rows_is_the_one_that_numpy_s_old_generator_draws() -> None:
    first, second = splits(10, 2)
    assert first[0].tolist() == [2, 9, 6, 4, 0, 3, 1, 7, 8]
    assert first[1].tolist() == [5]
    assert sorted(torch.cat(second).tolist()) == list(range(10))


def test_a_table_is_read_packed_or_plain(tmp_path: Path) -> None:
    (tmp_path / "plain.txt").write_text("1 2\t3\n4 5 6\n")
    (tmp_path / "packed.txt.xz").write_bytes(lzma.compress(b"1 2 3\n4 5 6\n"))
    for name in ("plain", "packed"):
        assert read_table(tmp_path, name).tolist() == [[1, 2, 3], [4, 5, 6]]


def test_a_missing_table_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is neither .*wine\.txt nor .*wine\.txt\.xz"):
        read_table(tmp_path, "wine")


def test_a_constant_column_keeps_its_unit() -> None:
    rows = rows_of(torch.tensor([[1.0, 5.0, 0.0], [3.0, 5.0, 4.0]]), [torch.tensor([0, 1])])
    found = scaling_of(rows)
    assert found.x_std.tolist() == [[[1.0, 1.0]]]
    assert found.y_std.tolist() == [[2.0]]


def test_the_masks_of_an_epoch_have_mean_one_and_the_rate_of_their_network() -> None:
    rows = Rows(torch.ones(2, 500, 4), torch.ones(2, 500))
    p = torch.tensor([0.1, 0.5])
    x, _, masks = networks.epoch(rows, p, 6, generator())
    for drawn in (x, masks):
        share = (drawn == 0).double().mean((1, 2))
        assert ((share - p).abs() <= monte_carlo(drawn[0].numel(), scale=0.5)).all()
        torch.testing.assert_close(drawn.amax((1, 2)), 1 / (1 - p))


def test_a_stack_computes_what_its_networks_compute_one_by_one() -> None:
    weights = [each.detach() for each in networks.initial_weights(3, 4, 5, generator())]
    x = uniform(3, 7, 4).float()
    stacked = torch.func.vmap(networks.outputs)(weights, x, torch.ones(3, 7, 5))
    for k in range(3):
        alone = networks.network(weights, k, p=0.5).eval()(x[k]).squeeze(1)
        torch.testing.assert_close(alone, stacked[k], **FLOAT32)


def test_networks_in_a_stack_do_not_see_each_other() -> None:
    rows = rows_of(line().float(), [torch.arange(60), torch.arange(60, 120)])
    recipe = networks.Recipe(torch.full((2,), 0.005), torch.ones(2), 8, 3)
    together = networks.train(rows, recipe, seed=0)
    other = networks.train(Rows(rows.x, torch.stack([rows.y[0], -rows.y[1]])), recipe, seed=0)
    torch.testing.assert_close(together[0][0], other[0][0])
    assert not torch.equal(together[0][1], other[0][1])


@pytest.mark.parametrize("full", [False, True])
def test_a_table_from_end_to_end(monkeypatch: pytest.MonkeyPatch, *, full: bool) -> None:
    for name in ("SAMPLES", "FIT_SAMPLES", "CRPS_SAMPLES"):
        monkeypatch.setattr(uci, name, 64)
    scores = uci.experiment_scores(line(), replace(SMALL, epochs=100 if full else 150), full=full, seed=0)
    found = uci.Outcome("yacht", scores, 0.0, 0.0)
    assert found.mean("rmse") < 1.0  # half the deviation of the target
    assert found.mean("at_fitted_tau") > found.mean("at_published_tau") - 1.0
    assert 0.5 < found.mean("coverage_calibrated") <= 1.0
    assert scores.isfinite().all()


def test_the_error_of_a_mean_is_the_paper_s() -> None:
    scores = torch.zeros(4, len(uci.Scores._fields), dtype=torch.float64)
    scores[:, 0] = torch.tensor([1.0, 1.0, 3.0, 3.0])
    assert uci.Outcome("yacht", scores, 0.0, 0.0).error("rmse") == pytest.approx(0.5, rel=1e-12)


def outcome_of(**values: float) -> uci.Outcome:
    means = dict.fromkeys(uci.Scores._fields, 0.0) | values
    row = torch.tensor([list(means.values())], dtype=torch.float64)
    return uci.Outcome("yacht", row, 0.0, 0.0)


def test_a_missed_bar_is_said_in_words() -> None:
    rmse, likelihood = 0.666275, -1.250148
    good = outcome_of(rmse=rmse, at_published_tau=likelihood, at_fitted_tau=likelihood + 0.15 + 1e-9)
    assert uci.missed_bars(good) == []
    bad = outcome_of(rmse=rmse + 0.08, at_published_tau=likelihood - 0.03, at_fitted_tau=likelihood)
    assert [text.split(",")[0] for text in uci.missed_bars(bad)] == [
        "yacht: RMSE 0.746 is not within 1.5 standard errors of 0.666",
        "yacht: log likelihood -1.280 at the published tau",
        "yacht: a fitted tau adds 0.030 nats",
    ]


def test_the_published_means_are_within_the_bars_of_their_own_table() -> None:
    for name, known in uci.EXPERIMENTS.items():
        row = [0.0] * len(uci.Scores._fields)
        row[0], row[1], row[2] = known.rmse[0], known.log_likelihood[0], known.log_likelihood[0] + 1
        assert uci.missed_bars(uci.Outcome(name, torch.tensor([row]).double(), 0.0, 0.0)) == []
