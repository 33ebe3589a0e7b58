"""The CRPS: closed forms, scoringrules as a second opinion, and fairness to few samples."""

import math

import numpy as np
import pytest
import scoringrules as sr
import torch
from hypothesis import given
from hypothesis import strategies as st

from mcdrop.errors import DomainError, OptionError, ShapeError
from mcdrop.metrics.crps import crps_blocks, crps_gaussian, crps_mixture, crps_samples
from mcdrop.metrics.regression import pinball_loss
from mcdrop.mixture import mixture_quantiles
from tests.support.predictions import normal, uniform
from tests.support.tolerances import FLOAT64, monte_carlo

SAMPLES, Y = normal(20, 50), normal(50, seed=1)


def test_scoringrules_agrees_on_samples() -> None:
    fair = sr.crps_ensemble(Y.numpy(), SAMPLES.T.numpy(), estimator="fair")
    np.testing.assert_allclose(crps_samples(SAMPLES, Y), fair, **FLOAT64)


def test_scoringrules_agrees_on_gaussians() -> None:
    mean, std = SAMPLES[0], 0.2 + uniform(50)
    expected = sr.crps_normal(Y.numpy(), mean.numpy(), std.numpy())
    np.testing.assert_allclose(crps_gaussian(mean, std, Y), expected, **FLOAT64)


@pytest.mark.parametrize("narrow", [10.0, 1.0, 0.1, 1e-4], ids="{} of the spread".format)
def test_scoringrules_agrees_on_mixtures(narrow: float) -> None:
    means, std = normal(80, 50), narrow * (1 + uniform(80, 50, seed=2))
    expected = sr.crps_mixnorm(Y.numpy(), means.T.numpy(), std.T.numpy())
    np.testing.assert_allclose(crps_mixture(means, std, Y), expected, **FLOAT64)
    np.testing.assert_allclose(crps_mixture(means + 2.0**20, std, Y + 2.0**20), expected, **FLOAT64)


def test_pairs_are_counted_only_where_an_integral_takes_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcdrop.metrics.crps._pair_tile", lambda *_given: pytest.fail("S^2 pairs"))
    crps_mixture(SAMPLES[:, :3], 5.0, Y[:3])
    with pytest.raises(pytest.fail.Exception, match="pairs"):
        crps_mixture(SAMPLES[:, :3], 1e-3, Y[:3])


def test_a_mixture_of_one_is_a_gaussian_and_of_points_the_unfair_form() -> None:
    std = torch.full((50,), 0.3, dtype=torch.float64)
    torch.testing.assert_close(
        crps_mixture(SAMPLES[:1], 0.3, Y), crps_gaussian(SAMPLES[0], std, Y), **FLOAT64
    )
    unfair = sr.crps_ensemble(Y.numpy(), SAMPLES.T.numpy(), estimator="nrg")
    np.testing.assert_allclose(crps_mixture(SAMPLES, 0.0, Y), unfair, **FLOAT64)


def test_the_mixture_form_is_twice_the_pinball_loss_integrated_over_all_levels() -> None:
    means, y = SAMPLES[:4, :2], Y[:2]
    levels = (torch.arange(200) + 0.5) / 200
    values = mixture_quantiles(means, 0.5, levels.tolist())
    losses = [pinball_loss(value, y, level=q) for value, q in zip(values, levels.tolist(), strict=True)]
    torch.testing.assert_close(
        2 * torch.stack(losses).mean(0), crps_mixture(means, 0.5, y), rtol=1e-3, atol=0
    )


def test_the_mixture_form_does_not_depend_on_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = crps_mixture(SAMPLES, 0.5, Y)
    monkeypatch.setattr("mcdrop.metrics.crps._PAIR_BUDGET", 1200)
    torch.testing.assert_close(crps_mixture(SAMPLES, 0.5, Y), whole, **FLOAT64)


def test_few_samples_score_like_many_on_average() -> None:
    rows = 20_000
    y = torch.zeros(rows, dtype=torch.float64)
    exact = crps_gaussian([0.0], [1.0], [0.0]).item()
    for count in (2, 5):
        fair = crps_samples(normal(count, rows, seed=count), y)
        assert abs(fair.mean().item() - exact) < monte_carlo(rows, scale=fair.std().item())


def test_stratified_samples_need_pairs_from_different_blocks() -> None:
    rows, blocks = 4000, 2
    ranks = torch.stack([torch.argsort(uniform(16, rows, seed=b), 0) for b in range(blocks)])
    u = (ranks + uniform(blocks, 16, rows, seed=9)) / 16
    samples = torch.special.ndtri(u).reshape(blocks * 16, rows)
    y = torch.zeros(rows, dtype=torch.float64)
    exact = crps_gaussian([0.0], [1.0], [0.0]).item()
    blockwise, plain = crps_blocks(samples, y), crps_samples(samples, y)
    assert abs(blockwise.mean().item() - exact) < monte_carlo(rows, scale=blockwise.std().item())
    assert abs(plain.mean().item() - exact) > monte_carlo(rows, scale=plain.std().item())


def test_below_two_whole_blocks_the_form_is_plain() -> None:
    assert torch.equal(crps_blocks(SAMPLES, Y), crps_samples(SAMPLES, Y))


def test_blocks_of_one_are_independent_samples() -> None:
    torch.testing.assert_close(crps_blocks(SAMPLES, Y, block=1), crps_samples(SAMPLES, Y), **FLOAT64)


def test_a_partial_block_counts_as_a_block() -> None:
    samples = SAMPLES[:5, :1]
    pairs = [(i, j) for i in range(5) for j in range(i) if i // 2 != j // 2]
    between = float(np.mean([abs(samples[i, 0] - samples[j, 0]) for i, j in pairs]))
    expected = (samples[:, 0] - Y[0]).abs().mean() - 0.5 * between
    torch.testing.assert_close(crps_blocks(samples, Y[:1], block=2)[0], expected, **FLOAT64)


@given(st.integers(0, 500), st.floats(-1e6, 1e6))
def test_a_shift_of_everything_changes_nothing(seed: int, shift: float) -> None:
    samples, y = normal(6, 3, seed=seed), normal(3, seed=seed + 1)
    moved = crps_samples(samples + shift, y + shift)
    torch.testing.assert_close(moved, crps_samples(samples, y), rtol=0, atol=1e-8)


def test_a_point_prediction_scores_its_absolute_error() -> None:
    assert crps_gaussian([1.0], [0.0], [3.0]).item() == 2.0
    assert crps_samples([[1.0], [1.0]], [3.0]).item() == 2.0
    assert crps_mixture([[1.0], [1.0]], 0.0, [3.0]).item() == 2.0


def test_far_outcomes_stay_finite() -> None:
    assert crps_gaussian([0.0], [1e-300], [1e3]).item() == pytest.approx(1e3)
    assert math.isfinite(crps_gaussian([0.0], [1.0], [1e200]).item())


def test_further_dimensions_are_carried_along() -> None:
    samples, y = normal(4, 3, 2), normal(3, 2, seed=2)
    for score in (crps_samples(samples, y), crps_mixture(samples, 0.1, y)):
        assert score.shape == (3, 2)
    torch.testing.assert_close(
        crps_samples(samples, y)[:, 1], crps_samples(samples[..., 1], y[:, 1]), **FLOAT64
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match="at least 2 samples"):
        crps_samples([[1.0]], [1.0])
    with pytest.raises(ShapeError, match=r"y must have shape \(50,\), got shape \(3,\)"):
        crps_samples(SAMPLES, [1.0, 2.0, 3.0])
    with pytest.raises(DomainError, match="std must not be negative"):
        crps_gaussian([0.0], [-1.0], [0.0])
    with pytest.raises(OptionError, match="block must be at least 1, got 0"):
        crps_blocks(SAMPLES, Y, block=0)
