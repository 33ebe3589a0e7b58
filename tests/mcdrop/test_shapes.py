"""The checks: each text says what was wanted and what came."""

import numpy as np
import pytest
import torch

from mcdrop import shapes
from mcdrop.errors import DomainError, InputError, ShapeError, TooFewRowsError


def test_tensors_arrays_lists_and_numbers_become_float64() -> None:
    for value in (torch.ones(2), np.ones(2, dtype=np.float32), [1, 1], (1.0, 1.0)):
        assert torch.equal(shapes.float64("x", value), torch.ones(2, dtype=torch.float64))
    assert shapes.float64("x", 2).shape == ()


def test_read_only_and_strided_arrays_are_taken() -> None:
    values = np.arange(6.0)
    values.setflags(write=False)
    assert shapes.float64("x", values[::-2]).tolist() == [5.0, 3.0, 1.0]


def test_what_is_no_number_is_refused() -> None:
    with pytest.raises(InputError, match="x must be a tensor, an array or a list of numbers, got str"):
        shapes.float64("x", "text")  # type: ignore[arg-type]


def test_nan_is_refused_with_its_place() -> None:
    with pytest.raises(DomainError, match="x must not hold NaN, got NaN at row 1"):
        shapes.float64("x", [0.0, float("nan")])
    with pytest.raises(DomainError, match=r"at index \(0, 2\)"):
        shapes.float64("x", np.array([[0.0, 0.0, np.nan]]))


def test_a_wrong_number_of_dimensions_names_the_wanted_ones() -> None:
    with pytest.raises(ShapeError, match=r"probs must be \(S, N, C\), got shape \(4, 2\)"):
        shapes.shaped("probs", torch.zeros(4, 2), "S, N, C")


def test_dots_stand_for_any_number_of_dimensions() -> None:
    for extra in ((), (2,), (2, 3)):
        assert shapes.shaped("x", torch.zeros(4, 5, *extra), "S, N, ...").shape == (4, 5, *extra)


def test_empty_tensors_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"x must not be empty, got shape \(0,\)"):
        shapes.shaped("x", torch.zeros(0), "N")


def test_probabilities_outside_the_unit_interval_are_refused() -> None:
    with pytest.raises(DomainError, match=r"p must lie in \[0, 1\], got 1.2 at row 1"):
        shapes.probabilities("p", [0.5, 1.2], "N")


def test_what_float32_rounds_above_one_is_cut() -> None:
    assert shapes.probabilities("p", [1.0 + 1e-7], "N").item() == 1.0


def test_laws_that_do_not_sum_to_one_are_refused_with_the_row_and_the_amount() -> None:
    with pytest.raises(
        DomainError, match=r"must sum to 1 over the classes, got 1.1 \(off by \+0.1\) at row 1"
    ):
        shapes.probability_laws("probs", [[0.5, 0.5], [0.6, 0.5]], "N, C")


def test_labels_outside_the_classes_are_refused() -> None:
    with pytest.raises(DomainError, match="y must be a class from 0 to 2, got 3 at row 1"):
        shapes.class_labels([0, 3], like=(2,), classes=3)
    with pytest.raises(DomainError, match="got 3 at row 1; classes are counted from 0"):
        shapes.class_labels([1, 3], like=(2,), classes=3)
    with pytest.raises(DomainError, match=r"got 0\.5 at row 0"):
        shapes.class_labels([0.5, 1], like=(2,), classes=3)
    with pytest.raises(DomainError, match="got -1 at row 0"):
        shapes.class_labels([-1, 1], like=(2,), classes=3)
    with pytest.raises(DomainError, match=r"leave out places without a label, .*, with keep = y != -100 and"):
        shapes.class_labels([[0, -100], [1, -100]], like=(2, 2), classes=3)
    with pytest.raises(DomainError, match=r"got -1 at index \(0, 1\)$"):
        shapes.class_labels([[0, -1], [1, -100]], like=(2, 2), classes=3)


def test_labels_of_another_length_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"y must have shape \(3,\), got shape \(2,\)"):
        shapes.class_labels([0, 1], like=(3,), classes=2)


def test_labels_may_stand_in_a_column_and_one_hot_rows_are_told_what_to_do() -> None:
    assert shapes.class_labels([[0], [1]], like=(2,), classes=3).tolist() == [0, 1]
    with pytest.raises(
        ShapeError, match=r"one class for each place, \(2,\), got shape \(2, 3\); .*argmax\(1\)"
    ):
        shapes.class_labels([[1, 0, 0], [0, 1, 0]], like=(2,), classes=3)
    with pytest.raises(ShapeError, match=r"got shape \(4, 2, 3\); .*argmax\(2\)"):
        shapes.class_labels(np.zeros((4, 2, 3)), like=(4, 2), classes=3)


def test_names_in_place_of_numbers_are_told_as_what_they_are() -> None:
    with pytest.raises(
        InputError, match="y must be a tensor, an array or a list of numbers, got ndarray of <U2"
    ):
        shapes.class_labels(np.array(["no", "ja"]), like=(2,), classes=2)


def test_events_are_zero_or_one() -> None:
    with pytest.raises(DomainError, match="event must be 0 or 1, got 2 at row 1"):
        shapes.event_labels([1, 2], like=(2,), name="event")
    assert shapes.event_labels(torch.tensor([True, False]), like=(2,)).tolist() == [1.0, 0.0]


def test_negative_and_infinite_values_are_refused() -> None:
    with pytest.raises(DomainError, match="std must not be negative, got -1 at row 0"):
        shapes.nonnegative("std", torch.tensor([-1.0]))
    with pytest.raises(DomainError, match="x must be finite, got inf at row 0"):
        shapes.finite("x", torch.tensor([float("inf")]))


@pytest.mark.parametrize("value", [0.0, 1.0, -0.1, float("nan")])
def test_fractions_lie_strictly_between_zero_and_one(value: float) -> None:
    with pytest.raises(DomainError, match="level must be between 0 and 1, got"):
        shapes.check_fraction("level", value)


def test_intervals_must_not_end_before_they_begin() -> None:
    with pytest.raises(DomainError, match="upper must not be below lower, got it so at row 1"):
        shapes.check_interval(torch.tensor([0.0, 1.0]), torch.tensor([0.0, 0.5]))


def test_too_few_rows_say_how_many_are_needed() -> None:
    with pytest.raises(TooFewRowsError, match="fitting tau needs at least 20 rows, got 3"):
        shapes.check_rows(3, needed=20, what="fitting tau")


def test_classes_can_lie_on_any_axis() -> None:
    moved = shapes.classes_last(np.zeros((2, 3, 4)), 1)
    assert isinstance(moved, torch.Tensor)
    assert moved.shape == (2, 4, 3)
