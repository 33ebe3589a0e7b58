"""Cells of different requests in one computation, and the predictives that they give."""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import mcdrop
from mcdrop.blocks import Cell, ExactBlocks
from mcdrop.calibrating import METHODS
from mcdrop.engine import exact
from mcdrop.engine.inputs import Call
from mcdrop.engine.masks import BlockKey
from mcdrop.engine.sampling import Plan, block_outputs
from mcdrop.errors import DomainError, ShapeError
from mcdrop.prediction import Reduction
from mcdrop.predictive import Predictive, task_named
from mcdrop.predictive.archive import as_array
from tests.support.networks import features, segmenter
from tests.support.stochastic_modules import DropConnect

ROWS = torch.randn(5, 6, generator=torch.Generator().manual_seed(0))

TASKS = ("classification", "multilabel", "regression")
OUTCOMES: dict[str, Callable[[Tensor], Tensor]] = {
    "classification": lambda mean: torch.cat([torch.arange(3), mean.argmax(1)[3:]]),
    "multilabel": lambda mean: (mean > mean.median()).long(),
    "regression": lambda mean: mean + 1,
}
"""Of each task, so that every calibrator can be fitted."""


class Chances(nn.Module):
    """Class probabilities, but of rows that begin with a large number: then they do not sum to one."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3), nn.Softmax(dim=-1))

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        out: Tensor = self.inner(x)
        return out + (x[:, :1] > 100).to(out.dtype)


@pytest.fixture(autouse=True)
def _never_slow(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long a pass takes here decides nothing."""
    monkeypatch.setattr("mcdrop.engine.proof._SLOW_S", math.inf)


def network(task: str) -> mcdrop.MCDropout:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 3)).eval()
    return mcdrop.MCDropout(model, task=task)


def results_of(
    blocks: ExactBlocks, mc: mcdrop.MCDropout, seeds: list[int], n_blocks: int
) -> list[list[Tensor]]:
    """For each block the results of all rows, computed together as far as they fit."""
    calls = [mc.as_call(row) for row in ROWS.split(1)]
    cells = [
        Cell(call, BlockKey(seed, 0, block))
        for block in range(n_blocks)
        for call, seed in zip(calls, seeds, strict=True)
    ]
    runs = [blocks.run(cells[i : i + blocks.rows]) for i in range(0, len(cells), blocks.rows)]
    flat = [result for run in runs for result in run]
    return [flat[i : i + len(ROWS)] for i in range(0, len(flat), len(ROWS))]


def assert_outputs_are_those_of(predictive: Predictive, outputs: Mapping[str, NDArray[Any]]) -> None:
    for name, array in outputs.items():
        expected = as_array(getattr(predictive, name))
        assert array.dtype == expected.dtype, name
        assert np.array_equal(array, expected), name


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("n_samples", [2, 16, 30, 48])
def test_rows_of_different_seeds_get_the_bits_that_each_gets_alone(task: str, n_samples: int) -> None:
    mc = network(task)
    blocks, seeds = mc.exact_blocks(ROWS), [7, 7, 8, 9, 7]
    together = blocks.assemble(
        results_of(blocks, mc, seeds, math.ceil(n_samples / 16)), mc.wanted(n_samples, seed=7)
    )
    for row, seed in enumerate(seeds):
        alone = mc.predict(ROWS[row : row + 1], n_samples=n_samples, seed=seed, exact=True)
        for name in set(alone.available_outputs()) - {"deterministic"}:
            assert torch.equal(getattr(together, name)[row], getattr(alone, name)[0]), name
    assert together.deterministic.isnan().all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("rows", [1, 3, 1000])
@pytest.mark.parametrize("task", ["classification", "binary", "multilabel", "regression", "raw"])
def test_outputs_without_a_predictive_have_its_bits(task: str, rows: int, dtype: torch.dtype) -> None:
    classes = 1 if task == "binary" else 4
    blocks = mcdrop.MCDropout(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, classes)).eval(), task=task)
    generator = torch.Generator().manual_seed(rows)
    cells = 9 * torch.randn(9 * rows, 16, classes, generator=generator)
    results = [list(block.to(dtype).unbind()) for block in cells.split(rows)]
    for n_samples in (3, 30, 144):
        wanted, few = blocks.wanted(n_samples, seed=7), results[: math.ceil(n_samples / 16)]
        predictive = blocks.exact_blocks(ROWS).assemble(few, wanted)
        names = [*set(predictive.available_outputs()) - {"deterministic"}, "sample_std"]
        assert_outputs_are_those_of(predictive, blocks.exact_blocks(ROWS).outputs(few, wanted, names))


def test_classes_of_few_rows_are_told_without_a_predictive(monkeypatch: pytest.MonkeyPatch) -> None:
    mc = network("classification")
    blocks, wanted = mc.exact_blocks(ROWS), mc.wanted(30, seed=7)
    results, expected = results_of(blocks, mc, [7] * 5, 2), mc.predict(ROWS, n_samples=30, seed=7, exact=True)
    monkeypatch.delattr("mcdrop.blocks.finish")
    assert_outputs_are_those_of(expected, blocks.outputs(results, wanted, expected.default_outputs))


APPLICABLE = [(task, name) for task in TASKS for name in METHODS if task in METHODS[name].tasks]


@pytest.mark.filterwarnings("ignore::mcdrop.calibrating.FewErrorsWarning")
@pytest.mark.parametrize(("task", "method"), APPLICABLE)
def test_calibrated_rows_are_assembled_without_the_eval_pass_that_nobody_asked_for(
    task: str, method: str
) -> None:
    mc = network(task)
    x = torch.randn(150, 6, generator=torch.Generator().manual_seed(1))
    pred = mc.predict(x, n_samples=32)
    calibrated = mc.calibrated(mcdrop.calibrate(pred, OUTCOMES[task](pred.mean), method))
    blocks = calibrated.exact_blocks(ROWS)
    results = [its[:2] for its in results_of(blocks, calibrated, [7] * 5, 2)]
    together = blocks.assemble(results, calibrated.wanted(32, seed=7))
    expected = calibrated.predict(ROWS[:2], n_samples=32, seed=7, exact=True)
    names = [*expected.default_outputs, "sample_std"]
    assert_outputs_are_those_of(expected, blocks.outputs(results, calibrated.wanted(32, seed=7), names))
    assert torch.equal(together.mean, expected.mean)
    assert torch.equal(together.sample_std, expected.sample_std)
    assert together.deterministic.isnan().all()
    assert together.deterministic.shape == expected.deterministic.shape


@pytest.mark.parametrize("rows", [1, 5])
def test_what_is_written_into_one_answer_is_not_in_the_next(rows: int) -> None:
    mc = network("regression")
    blocks, wanted = mc.exact_blocks(ROWS), mc.wanted(16, seed=7)
    results = [its[:rows] for its in results_of(blocks, mc, [7] * 5, 1)]
    blocks.assemble(results, wanted).deterministic.zero_()
    assert blocks.assemble(results, wanted).deterministic.isnan().all()


def test_quantiles_and_the_eval_pass_are_those_of_predict() -> None:
    mc = network("regression")
    blocks, levels = mc.exact_blocks(ROWS), (0.05, 0.5)
    wanted = mc.wanted(30, seed=3, quantiles=levels)
    expected = mc.predict(ROWS, n_samples=30, seed=3, exact=True, quantiles=levels)
    results = results_of(blocks, mc, [3] * 5, 2)
    for rows in (slice(start, min(start + blocks.rows, 5)) for start in range(0, 5, blocks.rows)):
        found = blocks.assemble(
            [block[rows] for block in results],
            wanted,
            deterministic=blocks.deterministic(mc.as_call(ROWS[rows])),
        )
        assert torch.equal(found.quantile(levels), expected[rows].quantile(levels))
        assert torch.equal(found.deterministic, expected[rows].deterministic)


@pytest.mark.parametrize("rounds", [[2, 1, 1, 1, 1], [2, 2, 2], [5, 1]])
def test_rows_that_stop_at_a_tolerance_have_what_predict_gives_however_many_blocks_come_at_once(
    rounds: list[int],
) -> None:
    mc = network("classification")
    options: dict[str, Any] = {"tolerance": 0.015, "quantiles": (0.1,)}
    expected = mc.predict(ROWS, n_samples="auto", max_samples=90, seed=3, exact=True, **options)
    assert expected.samples_taken.unique().tolist() == [48, 64, 90]
    blocks, found = mc.exact_blocks(ROWS), None
    results = results_of(blocks, mc, [3] * 5, 6)
    for ahead in rounds:
        begun, going = (0, range(5)) if found is None else (found.blocks, found.going.tolist())
        new = [[results[block][row] for row in going] for block in range(begun, begun + ahead)]
        found = blocks.until(new, mc.wanted(90, seed=3, **options), before=found)
    assert found is not None
    assert not len(found.going)
    for name in set(expected.available_outputs()) - {"deterministic"} | {"level_values"}:
        assert torch.equal(getattr(found.predictive(), name), getattr(expected, name)), name
    assert found.predictive().notes == expected.notes == ("not_converged",)


@pytest.mark.parametrize("task", ["classification", "binary", "multilabel", "regression", "raw"])
@pytest.mark.parametrize("count", [7, 16, 46])
@pytest.mark.parametrize("rows", [3, 700])
@pytest.mark.parametrize("classes", [2, 10])
def test_moments_of_a_row_depend_neither_on_others_nor_on_how_many_blocks_come_at_once(
    task: str, count: int, rows: int, classes: int
) -> None:
    meaning = task_named(task)
    generator = torch.Generator().manual_seed(rows)
    raw = 5 * torch.randn(count, rows, 1 if task == "binary" else classes, generator=generator)
    together = Reduction.of(meaning, raw, keep=True).take(slice(1, 2))
    blocks = [Reduction.of(meaning, block[:, 1:2], keep=True) for block in raw.split(16)]
    for found, alone in zip(summed(together), summed(Reduction.chain(blocks)), strict=True):
        assert torch.equal(found, alone)


def summed(reduction: Reduction) -> list[Tensor]:
    found = reduction.summary(stratified=True)
    tensors = (found.figures, found.entropy, found.samples)
    return [tensor for tensor in tensors if tensor is not None]


@pytest.mark.parametrize("most", [1, 40, 10**6])
def test_few_rows_and_blocks_at_a_time_give_the_bits_of_all_together(
    most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("mcdrop.blocks._FEW_NUMBERS", most)
    mc = network("classification")
    blocks = mc.exact_blocks(ROWS)
    found = blocks.assemble(results_of(blocks, mc, [3] * 5, 3), mc.wanted(46, seed=3))
    expected = mc.predict(ROWS, n_samples=46, seed=3, exact=True)
    for name in set(expected.available_outputs()) - {"deterministic"}:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


@pytest.mark.parametrize("most", [None, 1, 2000])
def test_rows_of_pixels_have_the_bits_of_predict_however_many_they_are(
    most: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    mc = mcdrop.MCDropout(segmenter(), task="classification")
    images = features(18, 2, 3, 3)
    blocks = mc.exact_blocks(images)
    if most is not None:
        monkeypatch.setattr("mcdrop.blocks._FEW_NUMBERS", most)
        blocks = blocks.with_small_blocks(mc.as_call(images))
        assert blocks.rowwise
    cells = [Cell(mc.as_call(row), BlockKey(3, 0, block)) for block in range(2) for row in images.split(1)]
    flat = [r for i in range(0, 36, blocks.rows) for r in blocks.run(cells[i : i + blocks.rows])]
    found = blocks.assemble([flat[:18], flat[18:]], mc.wanted(30, seed=3))
    expected = mc.predict(images, n_samples=30, seed=3, exact=True)
    for name in set(expected.available_outputs()) - {"deterministic"}:
        assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_rows_of_pixels_that_are_reduced_otherwise_among_others_are_never_reduced_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    mc = mcdrop.MCDropout(segmenter(), task="classification")
    images, counts = features(3, 2, 3, 3), list[int]()
    blocks = mc.exact_blocks(images)
    assert blocks.task is not None
    task = type(blocks.task)
    honest = task.law

    def of_few(self: Any, raw: Tensor) -> Tensor:
        counts.append(raw.shape[1])
        return honest(self, raw) * (1 + 2.0**-50 / raw.shape[1])

    monkeypatch.setattr(task, "law", of_few)
    blocks = blocks.with_small_blocks(mc.as_call(images))
    assert not blocks.rowwise
    cells = blocks.run([Cell(mc.as_call(row), BlockKey(3, 0, 0)) for row in images.split(1)])
    del counts[:]
    blocks.outputs([cells], mc.wanted(16, seed=3), {"mean"})
    assert counts[0] == blocks.rows


def test_a_sample_that_nobody_wants_is_not_judged() -> None:
    mc = mcdrop.MCDropout(nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 2)).eval(), task="heteroscedastic")
    blocks = mc.exact_blocks(ROWS)
    cell = blocks.run([Cell(mc.as_call(ROWS[:1]), BlockKey(0, 0, 0))])[0].clone()
    cell[15] = 1e4  # whose exponential overflows
    expected = mc.predict(ROWS[:1], n_samples=14, exact=True)
    assert torch.equal(blocks.assemble([[cell]], mc.wanted(14, seed=0)).std, expected.std)
    with pytest.raises(DomainError, match="the variance overflows"):
        blocks.assemble([[cell]], mc.wanted(16, seed=0))


def test_a_row_with_impossible_probabilities_does_not_harm_those_it_was_computed_with() -> None:
    mc = mcdrop.MCDropout(Chances().eval(), task="classification", output="probabilities")
    good, bad = ROWS[:1], ROWS[1:2] + 1000
    blocks = mc.exact_blocks(good)
    cells = [Cell(mc.as_call(row), BlockKey(0, 0, 0)) for row in (good, bad)]
    of_good, of_bad = (r for i in range(0, 2, blocks.rows) for r in blocks.run(cells[i : i + blocks.rows]))
    wanted = mc.wanted(16, seed=0)
    found = blocks.assemble([[of_good]], wanted)
    assert torch.equal(found.mean, mc.predict(good, n_samples=16, seed=0, exact=True).mean)
    with pytest.raises(DomainError, match="must sum to 1"):
        blocks.assemble([[of_bad]], wanted)


@pytest.mark.parametrize("count", [1, 2, 3, 5])
@pytest.mark.parametrize("task", TASKS)
def test_a_few_cells_run_in_a_small_block_with_the_bits_of_predict(task: str, count: int) -> None:
    mc = network(task)
    blocks = mc.exact_blocks(ROWS).with_small_blocks(mc.as_call(ROWS))
    cells = [Cell(mc.as_call(ROWS[i : i + 1]), BlockKey(7 + i % 2, 0, 0)) for i in range(count)]
    assert blocks.plan.lines is not None
    blocks.plan.lines.often = 2
    results = [blocks.run(cells) for _ in range(3)]
    together = blocks.assemble([results[0]], mc.wanted(16, seed=7))
    for row in range(count):
        alone = mc.predict(ROWS[row : row + 1], n_samples=16, seed=7 + row % 2, exact=True)
        for name in set(alone.available_outputs()) - {"deterministic"}:
            assert torch.equal(getattr(together, name)[row], getattr(alone, name)[0]), name
    assert all(torch.equal(a, b) for again in results[1:] for a, b in zip(results[0], again, strict=True))
    assert len(blocks.plan.lines) == 1, blocks.plan.lines.refused


@pytest.mark.parametrize("shared", [False, True])
def test_what_was_rehearsed_is_there_when_it_is_asked_for(
    shared: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = nn.Sequential(nn.Linear(6, 8), DropConnect(8, 0.4) if shared else nn.Dropout(0.4)).eval()
    mc = mcdrop.MCDropout(model, task="regression")
    blocks = mc.exact_blocks(ROWS).with_small_blocks(mc.as_call(ROWS))
    row = mc.as_call(ROWS[:1])
    blocks.rehearse(row)
    keys = [BlockKey(seed, 0, 0) for seed in ((4, 4) if shared else (4, 5))]
    expected = mc.sample(ROWS[:1], n_samples=16, seed=4, exact=True)
    monkeypatch.delattr(nn.Linear, "forward")
    results = blocks.run([Cell(row, key) for key in keys])
    assert torch.equal(results[0], expected[:, 0])


def test_a_small_block_whose_bits_differ_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    mc = network("regression")
    blocks, call = mc.exact_blocks(ROWS), mc.as_call(ROWS)
    assert blocks.smaller == ()
    honest = block_outputs

    def differing(plan: Plan, tile: Call, *rest: Any) -> list[Tensor]:
        return [out + (1e-6 if plan.rows == 4 else 0) for out in honest(plan, tile, *rest)]

    monkeypatch.setattr(exact, "block_outputs", differing)
    smaller = {plan.rows: plan for plan in blocks.with_small_blocks(call).smaller}
    assert 4 not in smaller
    assert 8 in smaller
    ran: list[int] = []

    def noting(plan: Plan, tile: Call, *rest: Any) -> list[Tensor]:
        ran.append(tile.rows)
        return honest(plan, tile, *rest)

    monkeypatch.setattr("mcdrop.blocks.block_outputs", noting)
    blocks = replace(blocks, smaller=(smaller[8],))
    blocks.run([Cell(mc.as_call(ROWS[:1]), BlockKey(0, 0, 0))] * 5)
    blocks.run([Cell(mc.as_call(ROWS[:1]), BlockKey(0, 0, 0))] * 9)
    assert ran == [8, blocks.rows]


class Few(nn.Module):
    """Of a layer few numbers reach the output."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.drop, self.last = nn.Linear(6, 32), nn.Dropout(0.3), nn.Linear(8, 3)
        with torch.no_grad():
            self.first.weight.normal_()

    def forward(self, x: Tensor) -> Tensor:
        """(N, 6) -> (N, 3)."""
        out: Tensor = self.last(self.drop(self.first(x))[:, ::4])
        return out


def saturating() -> nn.Module:
    layers = (nn.Linear(16, 100), nn.Hardtanh(), nn.Linear(100, 100), nn.Hardtanh())
    model = nn.Sequential(*layers, nn.Dropout(0.9), nn.Linear(100, 2))
    with torch.no_grad():
        for each in model.parameters():
            each.mul_(1e-3)
    return model


@pytest.mark.parametrize(
    ("make", "inputs", "dtype", "size"),
    [(Few, 6, torch.float64, 1.0), (saturating, 16, torch.float32, 100.0)],
)
def test_small_blocks_have_the_bits_of_large_ones_where_outputs_show_little_of_what_is_rounded(
    make: Callable[[], nn.Module], inputs: int, dtype: torch.dtype, size: float
) -> None:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        mc = mcdrop.MCDropout(make().to(dtype), task="raw")
        x = size * torch.randn(96, inputs, dtype=dtype)
    large = mc.exact_blocks(x)
    small = large.with_small_blocks(mc.as_call(x))
    cells = [Cell(mc.as_call(row), BlockKey(3, 0, 0)) for row in x.split(1)]
    for count in (1, 2, 4):
        parts = [cells[start : start + count] for start in range(0, len(cells), count)]
        for part in parts:
            pairs = zip(small.run(part), large.run(part), strict=True)
            assert all(torch.equal(*pair) for pair in pairs), count


def test_very_few_rows_are_tried_with_the_linear_layers_of_more(monkeypatch: pytest.MonkeyPatch) -> None:
    def are_same(_plan: Plan, part: Plan, *_: Any) -> bool:
        return part.rows > 1 and max(part.rows, part.network.least_rows) >= 4

    monkeypatch.setattr(exact, "_is_same", are_same)
    mc = network("regression")
    plans = exact.smaller_plans(replace(mc.exact_blocks(ROWS).plan, rows=16), mc.as_call(ROWS))
    assert [(plan.rows, plan.network.least_rows) for plan in plans] == [(2, 4), (4, 1), (8, 1)]


def test_too_many_cells_or_rows_are_refused() -> None:
    mc = network("regression")
    blocks = mc.exact_blocks(ROWS)
    cell = Cell(mc.as_call(ROWS[:1]), BlockKey(0, 0, 0))
    with pytest.raises(ShapeError, match=f"wanted 1 to {blocks.rows} cells, got {blocks.rows + 1}"):
        blocks.run([cell] * (blocks.rows + 1))
    result = blocks.run([cell])[0]
    with pytest.raises(ShapeError, match=f"wanted at most {blocks.rows} rows"):
        blocks.assemble(
            [[result] * (blocks.rows + 1)],
            mc.wanted(16, seed=0),
            deterministic=blocks.deterministic(mc.as_call(ROWS)),
        )
