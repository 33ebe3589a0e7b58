"""What predictives look like: bands, intervals and the two kinds of uncertainty."""

from typing import Any

import numpy as np
import pytest
import torch

from mcdrop.errors import OptionError, SamplesNotKeptError
from tests.support.predictives import predictive_of, raw_outputs


def heights(line: Any) -> list[float]:
    return [float(value) for value in line.get_ydata()]


def test_a_regression_on_one_number_is_a_band() -> None:
    pred = predictive_of(raw_outputs(32, 20, 1), "regression")
    x = torch.linspace(1, -1, 20)
    axes = pred.plot(x)
    (line,) = axes.lines
    np.testing.assert_array_equal(line.get_xdata(), x.flip(0).numpy())
    assert heights(line) == pytest.approx(pred.mean[:, 0].flip(0).tolist())
    assert len(axes.collections) == 2  # two bands


def test_a_regression_without_inputs_shows_rows_with_their_intervals() -> None:
    axes = predictive_of(raw_outputs(32, 200, 1), "regression").plot()
    means = heights(axes.lines[0])
    assert len(means) == 60
    assert means == sorted(means)


@pytest.mark.parametrize(("task", "shape"), [("classification", (16, 9, 3)), ("binary", (16, 9))])
def test_a_classification_shows_both_kinds_of_uncertainty(task: str, shape: tuple[int, ...]) -> None:
    pred = predictive_of(raw_outputs(*shape), task)
    axes = pred.plot()
    assert heights(axes.lines[0]) == pytest.approx(pred.numpy()["mutual_information"].tolist())


def test_a_band_needs_one_number_for_each_row() -> None:
    pred = predictive_of(raw_outputs(32, 20, 1), "regression")
    with pytest.raises(OptionError, match=r"x must have 20 numbers, one for each row, got shape \(20, 2\)"):
        pred.plot(torch.zeros(20, 2))
    with pytest.raises(OptionError, match="one output can be plotted, got 2"):
        predictive_of(raw_outputs(32, 20, 2), "regression").plot(torch.zeros(20))
    with pytest.raises(OptionError, match="x belongs to a regression"):
        predictive_of(raw_outputs(16, 9, 3), "classification").plot(torch.zeros(9))


def test_dropped_samples_cannot_be_plotted_as_a_band() -> None:
    with pytest.raises(SamplesNotKeptError):
        predictive_of(raw_outputs(32, 20, 1), "regression", keep=False).plot(torch.zeros(20))
