"""Resampled calibration errors: the normal limit agrees with the draws that it stands for."""

import pytest
import torch

from mcdrop.metrics.reliability import bin_index
from mcdrop.metrics.resampling import (
    bootstrap_errors,
    bootstrap_weights,
    calibrated_errors,
    chunks,
    resampling_generator,
)
from tests.support.predictions import calibrated
from tests.support.tolerances import monte_carlo

RESAMPLES = 400


@pytest.mark.parametrize("power", [1.0, 1.5])
def test_the_normal_limit_has_the_mean_and_spread_of_the_draws(
    power: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    p, y = calibrated(3000, power=power)
    index = bin_index(p, bins=15, binning="equal_width")

    def both() -> tuple[torch.Tensor, torch.Tensor]:
        redrawn = calibrated_errors(p, index, 15, RESAMPLES, resampling_generator(1))
        return redrawn, bootstrap_errors(y - p, index, 15, RESAMPLES, resampling_generator(2))

    drawn = both()
    monkeypatch.setattr("mcdrop.metrics.resampling.ROW_LIMIT", 1)
    for exact, limit in zip(drawn, both(), strict=True):
        assert len(exact) == len(limit) == RESAMPLES
        spread = exact.std().item()
        assert abs(exact.mean() - limit.mean()) < 2 * monte_carlo(RESAMPLES, scale=spread)
        assert limit.std().item() == pytest.approx(spread, rel=2 * monte_carlo(2 * RESAMPLES))


def test_every_resample_draws_as_many_rows_as_there_are() -> None:
    weights = bootstrap_weights(7, 30, resampling_generator(0))
    assert weights.sum(1).tolist() == [30.0] * 7
    assert weights.mean().item() == 1.0


def test_chunks_make_every_resample_once() -> None:
    assert chunks(5, 10) == [5]
    assert chunks(5, 2_000_000) == [2, 2, 1]
    assert chunks(3, 10**9) == [1, 1, 1]
