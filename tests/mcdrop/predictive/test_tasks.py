"""Tasks by name, and the options that they take."""

from typing import NamedTuple

import pytest
import torch

from mcdrop.errors import OptionError
from mcdrop.predictive import TASKS, task_named
from mcdrop.predictive.tasks import only_output
from tests.support.tolerances import FLOAT64


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_made_by_its_name(name: str) -> None:
    assert task_named(name) == task_named(name)


def test_an_unknown_task_is_told_the_known_ones() -> None:
    with pytest.raises(OptionError, match=r"task must be one of classification, binary, .*, got 'ranking'"):
        task_named("ranking")


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(
        OptionError, match=r"output must be one of logits, probabilities, log_prob.*, got 'odds'"
    ):
        task_named("classification", output="odds")


def test_the_rows_are_not_the_classes() -> None:
    with pytest.raises(OptionError, match="class_axis must not be 0, the axis of the rows"):
        task_named("classification", class_axis=0)


def test_only_a_regression_has_a_precision() -> None:
    with pytest.raises(
        OptionError, match="tau is the noise precision of a regression, got it with task='raw'"
    ):
        task_named("raw", tau=1.0)


class Named(NamedTuple):
    hidden: torch.Tensor
    logits: torch.Tensor


def test_logits_are_found_by_their_name() -> None:
    hidden, logits = torch.zeros(16, 5, 8), torch.ones(16, 5, 3)
    assert only_output(Named(hidden, logits)) is logits
    assert only_output({"hidden": hidden, "logits": logits}) is logits
    with pytest.raises(OptionError, match="returns 2 tensors in a tuple and none of them is named 'logits'"):
        only_output((hidden, logits))
    with pytest.raises(OptionError, match="a mean with its log variance is task='heteroscedastic'"):
        only_output((logits, logits))


@pytest.mark.parametrize("name", ["classification", "binary", "multilabel", "regression"])
@pytest.mark.parametrize("width", [3, 5])
def test_a_row_has_the_same_bits_in_every_place_of_a_tensor(name: str, width: int) -> None:
    task = task_named(name)
    shape = (14, 33) if name == "binary" else (14, 33, width)
    raw = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    alone = torch.cat([task.law(row.clone()) for row in raw.split(1, 1)], 1)
    assert torch.equal(task.law(raw), alone)
    together, apart = task.entropies(task.law(raw)), task.entropies(alone)
    assert (together is None and apart is None) or torch.equal(together, apart)  # type: ignore[arg-type]


def test_a_logit_becomes_its_logistic_probability() -> None:
    logits = torch.tensor([[-1e4, -30.0, -1.0, 0.0, 1.0, 30.0, 1e4]])
    expected = torch.sigmoid(logits.to(torch.float64))
    torch.testing.assert_close(task_named("binary").law(logits), expected, **FLOAT64)
