"""Tasks by name, and the options that they take."""

import pytest

from mcdrop.errors import OptionError
from mcdrop.predictive import TASKS, task_named


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
