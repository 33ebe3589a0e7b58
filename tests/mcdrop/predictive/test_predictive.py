"""What all predictives can do: quantiles, rows picked and joined, tables."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.errors import DomainError, InputError, SamplesNotKeptError, ShapeError
from mcdrop.predictive import Predictive, task_named
from tests.support.predictives import assert_same_rows, predictive_of, raw_outputs
from tests.support.tolerances import EXACT, FLOAT32, FLOAT64

TASKS = {
    "classification": (7, 3),
    "binary": (7, 1),
    "multilabel": (7, 2),
    "regression": (7, 1),
    "raw": (7, 2),
}
ROWS: list[Any] = [
    3,
    -1,
    np.int64(2),
    slice(1, 4),
    slice(None, None, -2),
    [4, 0, 4],
    [],
    np.array([True, False] * 3 + [True]),
    torch.tensor([5, 1]),
    torch.tensor([False, True] * 3 + [False]),
]

tasks = pytest.mark.parametrize("task", TASKS)
levels = st.floats(0.001, 0.999)


def made(task: str = "regression", *, samples: int = 40, seed: int = 0, **options: Any) -> Predictive:
    return predictive_of(raw_outputs(samples, *TASKS[task], seed=seed), task, **options)


def row_numbers(rows: Any) -> list[int]:
    numbers = np.arange(7)[rows.numpy() if isinstance(rows, torch.Tensor) else rows]
    return [int(number) for number in np.atleast_1d(numbers)]


@given(st.integers(2, 40), st.integers(0, 50), st.lists(levels, min_size=1, max_size=4))
def test_quantiles_are_those_of_numpy(samples: int, seed: int, q: list[float]) -> None:
    pred = predictive_of(raw_outputs(samples, 3, 2, seed=seed).double(), "raw")
    expected = np.quantile(pred.samples, q, axis=0)
    np.testing.assert_allclose(pred.quantile(q), expected, **FLOAT64)
    np.testing.assert_allclose(pred.quantile(q[0]), expected[0], **FLOAT64)


@given(st.integers(0, 50), st.tuples(levels, levels))
def test_quantiles_grow_with_their_level(seed: int, pair: tuple[float, float]) -> None:
    lower, upper = made(seed=seed).quantile(sorted(pair))
    assert (lower <= upper).all()


@tasks
def test_several_levels_come_first(task: str) -> None:
    pred = made(task)
    assert pred.quantile(0.5).shape == pred.mean.shape
    assert pred.quantile([0.1, 0.5, 0.9]).shape == (3, *pred.mean.shape)


def test_a_level_may_be_a_number_of_numpy() -> None:
    level: Any = np.float32(0.5)
    torch.testing.assert_close(made().quantile(level), made().quantile(0.5), **EXACT)


@pytest.mark.parametrize("q", [0, 1, -0.1, 1.5, math.nan, True, [0.5, 0.0], ["half"]])
def test_a_level_outside_of_its_range_is_refused(q: Any) -> None:
    with pytest.raises(DomainError, match="a level must be a number between 0 and 1, both excluded, got"):
        made().quantile(q)


def test_no_level_at_all_is_refused() -> None:
    with pytest.raises(DomainError, match="wanted at least one level, got none"):
        made().quantile([])


def test_nan_and_infinity_pass_through_quantiles() -> None:
    raw = torch.zeros(10, 3)
    raw[4, 0], raw[:, 1] = torch.nan, torch.inf
    found = predictive_of(raw, "raw").quantile(0.2)
    assert found.isnan().tolist() == [True, False, False]
    assert found[1:].tolist() == [torch.inf, 0]


def test_dropped_samples_say_how_to_keep_them() -> None:
    pred = made(keep=False)
    with pytest.raises(SamplesNotKeptError, match="were dropped; pass keep_samples=True to predict"):
        _ = pred.samples


def test_levels_that_were_named_survive_the_samples() -> None:
    kept, dropped = made(), made(keep=False, levels=[0.05, 0.95])
    torch.testing.assert_close(dropped.quantile([0.95, 0.05]), kept.quantile([0.95, 0.05]), **EXACT)
    torch.testing.assert_close(dropped.interval(0.9)[0], kept.interval(0.9)[0], **EXACT)
    with pytest.raises(
        SamplesNotKeptError, match=r"the quantile at 0\.5 was not named in the call; pass quant"
    ):
        dropped.quantile(0.5)
    with pytest.raises(SamplesNotKeptError, match=r"the quantile at 0\.1 was not named in the call"):
        dropped.interval(0.8)


@tasks
@pytest.mark.parametrize("rows", ROWS, ids=repr)
@pytest.mark.parametrize("keep", [True, False])
def test_rows_are_picked_from_everything(task: str, rows: Any, keep: bool) -> None:
    pred = made(task, keep=keep, levels=[0.5])
    numbers = row_numbers(rows)
    picked = pred[rows]
    assert len(picked) == len(numbers)
    torch.testing.assert_close(picked.mean, pred.mean[numbers], **EXACT)
    torch.testing.assert_close(picked.quantile(0.5), pred.quantile(0.5)[numbers], **EXACT)
    if keep:
        torch.testing.assert_close(picked.samples, pred.samples[:, numbers], **EXACT)
    assert {len(values) for values in picked.numpy().values()} == {len(numbers)}


@pytest.mark.parametrize("row", [7, -8])
def test_a_row_that_is_not_there_is_an_index_error(row: int) -> None:
    with pytest.raises(IndexError, match=rf"index {row} is out of bounds"):
        made()[row]


def test_a_loop_goes_over_the_rows() -> None:
    assert [len(row) for row in iter(made())] == [1] * 7


@tasks
@given(cuts=st.lists(st.integers(0, 7), max_size=3).map(sorted), keep=st.booleans())
def test_the_parts_of_a_predictive_join_to_the_whole(task: str, cuts: list[int], keep: bool) -> None:
    pred = made(task, keep=keep, levels=[0.3])
    bounds = [0, *cuts, 7]
    parts = [pred[start:stop] for start, stop in pairwise(bounds)]
    assert_same_rows(type(pred).concatenate(parts), pred)


def test_samples_are_joined_only_if_every_part_has_them() -> None:
    for parts in ([made(), made(keep=False)], [made(keep=False), made()]):
        joined = Predictive.concatenate(parts)
        assert (len(joined), joined.kept_samples) == (14, None)


def test_a_note_stays_if_every_part_has_it_or_it_is_about_some_rows() -> None:
    still = predictive_of(torch.zeros(40, 2, 1), "regression")
    assert Predictive.concatenate([still, still]).notes == ("zero_variance",)
    assert Predictive.concatenate([still, made()]).notes == ()
    broken = predictive_of(torch.full((40, 2, 1), torch.nan), "regression")
    assert Predictive.concatenate([still, broken]).notes == ("not_finite",)


@pytest.mark.parametrize(
    "other",
    [
        made(seed=1, samples=20),
        predictive_of(raw_outputs(40, 7, 1), "regression", seed=9),
        made("raw"),
        made(levels=[0.5]),
        predictive_of(raw_outputs(40, 7, 1), task_named("regression", tau=2.0)),
    ],
)
def test_predictives_of_different_kinds_do_not_join(other: Predictive) -> None:
    with pytest.raises(InputError, match="wanted predictives of one task with the same samples, seed, masks"):
        Predictive.concatenate([made(), other])


def test_nothing_does_not_join() -> None:
    with pytest.raises(InputError, match="wanted predictives of one task"):
        Predictive.concatenate([])


@tasks
def test_permuting_the_rows_permutes_the_answers(task: str) -> None:
    raw, order = raw_outputs(40, *TASKS[task]), torch.tensor([3, 1, 6, 0, 2, 5, 4])
    assert_same_rows(predictive_of(raw[:, order], task), predictive_of(raw, task)[order])


@tasks
def test_permuting_the_samples_changes_rounding_alone(task: str) -> None:
    raw = raw_outputs(40, *TASKS[task])
    turned, pred = predictive_of(raw.flip(0), task), predictive_of(raw, task)
    torch.testing.assert_close(turned.mean, pred.mean, **FLOAT32)
    torch.testing.assert_close(turned.std, pred.std, **FLOAT32)


@tasks
def test_a_data_frame_has_a_column_for_every_number(task: str) -> None:
    pred = made(task)
    frame = pred.to_dataframe()
    assert len(frame) == 7
    assert frame.attrs["notes"] == list(pred.notes)
    width = math.prod(pred.mean.shape[1:])
    names = ["mean"] if width == 1 else [f"mean_{i}" for i in range(width)]
    np.testing.assert_array_equal(frame[names].to_numpy(), pred.mean.reshape(7, width))
    assert ("mutual_information" in " ".join(frame.columns)) == hasattr(pred, "mutual_information")


def test_bfloat16_becomes_a_float32_array() -> None:
    pred = predictive_of(raw_outputs(40, 7, 1, dtype=torch.bfloat16), "regression")
    assert pred.numpy()["mean"].dtype == np.float32
    np.testing.assert_array_equal(pred.numpy()["mean"], pred.mean.float())


def test_how_it_was_sampled_is_told() -> None:
    pred = made(samples=24)
    assert (pred.n_samples, pred.seed, pred.sampled.masks, pred.sampled.rng) == (
        24,
        0,
        "consistent",
        "philox-1",
    )


def test_it_tells_itself_in_a_few_lines_without_its_numbers() -> None:
    pred = made("classification", samples=24)
    assert repr(pred) == "\n".join(
        (
            f"ClassificationPredictive of 7 rows, mean {tuple(pred.mean.shape)} torch.float32",
            "sampled: n_samples=24, seed=0, masks='consistent', rng='philox-1', exact=False",
            f"outputs: {', '.join(pred.available_outputs())}",
            "samples: kept",
            "notes: none",
        )
    )


def test_rows_of_different_shapes_are_not_joined() -> None:
    short, long = (predictive_of(raw_outputs(16, 2, 3, length), "regression") for length in (4, 5))
    with pytest.raises(
        ShapeError, match=r"must have one shape, got \(3, 4\) and then \(3, 5\); pad the inputs"
    ):
        type(short).concatenate([short, long])
