"""The smooth calibration error, with relplot as a second opinion away from the borders."""

import pytest
import relplot
import torch
from hypothesis import given
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.metrics.smooth_calibration import smooth_calibration_error, smooth_calibration_error_at
from tests.support.predictions import calibrated, labelled_confidences


@pytest.mark.parametrize("power", [1.0, 0.5, 3.0])
def test_relplot_agrees_away_from_the_borders(power: float) -> None:
    confidence, event = calibrated(400, power=power)
    confidence = 0.05 + 0.9 * confidence
    ours = smooth_calibration_error(confidence, event)
    assert ours == pytest.approx(relplot.smECE(confidence.numpy(), event.numpy()), rel=5e-3)
    for width in (0.02, 0.1):  # beyond, relplot's kernel is cut off at 0.5
        theirs = relplot.smECE_sigma(confidence.numpy(), event.numpy(), width)
        assert smooth_calibration_error_at(confidence, event, bandwidth=width) == pytest.approx(
            theirs, rel=5e-3
        )


@pytest.mark.parametrize("width", [0.02, 0.3, 1.0])
def test_it_is_the_integral_of_the_residuals_under_a_gaussian_reflected_at_both_ends(width: float) -> None:
    confidence, event = calibrated(40, power=2.0)
    points = torch.linspace(0, 1, 5001, dtype=torch.float64)
    law = torch.distributions.Normal(0.0, width)
    images = [sign * confidence + 2 * k for k in range(-6, 7) for sign in (1, -1)]
    kernel = torch.stack([law.log_prob(points.unsqueeze(1) - image).exp() for image in images]).sum(0)
    smoothed = (kernel * (event - confidence)).mean(1)
    expected = torch.trapezoid(smoothed.abs(), points).item()
    assert smooth_calibration_error_at(confidence, event, bandwidth=width) == pytest.approx(
        expected, rel=1e-4
    )


@pytest.mark.parametrize("border", [0.0, 1.0])
def test_confidences_on_a_border_count_in_full(border: float) -> None:
    confidence = torch.full((500,), border)
    event = (torch.arange(500) % 5 == 0) == (border == 0.0)
    assert smooth_calibration_error(confidence, event) == pytest.approx(0.2)
    mixed = torch.cat([confidence, torch.full((500,), 0.5)])
    events = torch.cat([event, torch.arange(500) % 2 == 0])
    narrow = smooth_calibration_error_at(mixed, events, bandwidth=0.01)
    assert narrow == pytest.approx(0.1, rel=1e-3)


@given(labelled_confidences())
def test_it_lies_between_zero_and_the_largest_residual(pairs: tuple[Tensor, Tensor]) -> None:
    assert 0 <= smooth_calibration_error(*pairs) <= 1 + 1e-9


@given(labelled_confidences())
def test_it_falls_as_the_kernel_widens(pairs: tuple[Tensor, Tensor]) -> None:
    errors = [smooth_calibration_error_at(*pairs, bandwidth=width) for width in (0.01, 0.1, 1.0)]
    assert errors[0] >= errors[1] - 1e-6
    assert errors[1] >= errors[2] - 1e-6


def test_perfect_certainty_has_no_error() -> None:
    assert smooth_calibration_error([0.0, 1.0], [0, 1]) == pytest.approx(0, abs=1e-12)


def test_a_bandwidth_out_of_range_is_refused() -> None:
    with pytest.raises(DomainError, match=r"bandwidth must be between 0\.001 and 1, got 0"):
        smooth_calibration_error_at([0.5], [1], bandwidth=0)
