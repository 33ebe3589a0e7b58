"""Outcomes of a data file as the numbers that a model means."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from mcdrop.cli.loading import targets
from mcdrop.datafiles import Data
from mcdrop.errors import DataFileError
from tests.support.checkpoints import small_manifest


def outcomes(y: ArrayLike | None, *, classes: list[str] | None, task: str = "classification") -> Any:
    data = Data({"x": np.zeros((3, 4))}, None if y is None else np.array(y), ("x", "label"))
    return targets(small_manifest(task=task, classes=classes), data, target="y").tolist()


def test_names_of_classes_become_their_indices() -> None:
    assert outcomes(["dog", "cat", "dog"], classes=["cat", "dog"]) == [1, 0, 1]
    with pytest.raises(
        DataFileError, match=r"must be one of the model's classes \(cat, dog\), got 'cow' in row 1"
    ):
        outcomes(["dog", "cow", "dog"], classes=["cat", "dog"])


def test_classes_that_are_named_by_numbers_are_meant_by_their_names() -> None:
    assert outcomes([1, 2, 1], classes=["1", "2"]) == [0, 1, 0]
    assert outcomes([7.0, 3.0, 7.0], classes=["3", "7"], task="binary") == [1, 0, 1]
    assert outcomes([0, 1, 1], classes=["0", "1"]) == [0, 1, 1]
    with pytest.raises(DataFileError, match=r"must be one of the model's classes \(1, 2\), got 0"):
        outcomes([0, 1, 1], classes=["1", "2"])


def test_numbers_beside_other_names_are_indices() -> None:
    assert outcomes([0, 1, 1], classes=["no", "2"]) == [0, 1, 1]
    assert outcomes([0, 1, 1], classes=None) == [0, 1, 1]


def test_true_and_false_of_a_table_are_1_and_0_unless_they_are_names() -> None:
    assert outcomes(["True", "False", "False"], classes=["no", "yes"], task="binary") == [1, 0, 0]
    assert outcomes(["True", "False", "False"], classes=None, task="binary") == [1, 0, 0]
    assert outcomes(["True", "False", "False"], classes=["True", "False"]) == [0, 1, 1]
    with pytest.raises(DataFileError, match=r"\(no, yes\), got 'False' in row 1"):
        outcomes(["no", "False", "yes"], classes=["no", "yes"])


def test_labels_of_several_questions_are_no_names() -> None:
    assert outcomes([[0, 1], [1, 1], [0, 0]], classes=["1", "2"], task="multilabel") == [
        [0, 1],
        [1, 1],
        [0, 0],
    ]


def test_without_outcomes_it_is_said_what_there_is() -> None:
    with pytest.raises(
        DataFileError, match=r"no outcomes named 'y'; name them with --target \(they have x, label\)"
    ):
        outcomes(None, classes=None)
