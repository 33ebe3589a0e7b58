"""Networks that tell their own noise: the split of the variance, the mixture, and what they may return."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.stats
import torch
from torch import Tensor, nn

from mcdrop import MCDropout, evaluate, load, load_predictions
from mcdrop.errors import DomainError, McdropError, OptionError, SamplesNotKeptError, ShapeError
from mcdrop.predictive import HeteroscedasticPredictive, task_named
from mcdrop.uncertainty import variance_split
from mcdrop.zoo import create
from tests.support.networks import features, fixed
from tests.support.predictives import assert_same_rows, predictive_of, raw_outputs
from tests.support.tolerances import EXACT, FLOAT32, FLOAT64

X = features(30)


class Noisy(nn.Module):
    """Two means and two log variances of each row, in one of three forms."""

    def __init__(self, form: str) -> None:
        super().__init__()
        self.form = form
        self.body = fixed(nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Dropout(0.4), nn.Linear(16, 4)))

    def forward(self, x: Tensor) -> Any:
        """(N, 6) -> means and log variances (N, 2)."""
        both: Tensor = self.body(x)
        mean, log_variance = both.chunk(2, 1)
        forms = {
            "tensor": both,
            "tuple": (mean, log_variance),
            "mapping": {"log_variance": log_variance, "mean": mean},
            "column": (mean[:, 0], log_variance[:, 0]),
        }
        return forms[self.form]


def network(form: str, **options: Any) -> MCDropout:
    return MCDropout(Noisy(form).eval(), task="heteroscedastic", n_samples=40, **options)


def predicted(raw: Tensor, *, keep: bool = True, levels: tuple[float, ...] = ()) -> HeteroscedasticPredictive:
    found = predictive_of(raw, "heteroscedastic", keep=keep, levels=levels)
    assert isinstance(found, HeteroscedasticPredictive)
    return found


@pytest.mark.parametrize("exact", [True, False])
def test_all_three_forms_mean_the_same(exact: bool) -> None:
    expected = network("tensor").predict(X, exact=exact, quantiles=[0.1])
    for form in ("tuple", "mapping"):
        assert_same_rows(network(form).predict(X, exact=exact, quantiles=[0.1]), expected)
    column = network("column").predict(X, exact=exact, quantiles=[0.1])
    assert column.mean.shape == (30,)
    torch.testing.assert_close(column.std, expected.std[:, 0], **FLOAT32)
    torch.testing.assert_close(column.quantile(0.1), expected.quantile(0.1)[:, 0], **FLOAT32)


def test_the_numbers_are_those_of_the_samples() -> None:
    mc = network("tensor")
    found = mc.predict(X)
    assert isinstance(found, HeteroscedasticPredictive)
    mean, log_variance = mc.sample(X).double().chunk(2, 2)
    split = variance_split(mean, variances=log_variance.exp())
    torch.testing.assert_close(found.mean.double(), mean.mean(0), **FLOAT32)
    torch.testing.assert_close(found.epistemic_std.double(), split.epistemic.sqrt(), **FLOAT32)
    torch.testing.assert_close(found.aleatoric_std.double(), split.aleatoric.sqrt(), **FLOAT32)
    torch.testing.assert_close(found.std.double(), split.total.sqrt(), **FLOAT32)
    torch.testing.assert_close(found.samples.double(), mean, **FLOAT32)
    torch.testing.assert_close(found.noise_std.double(), (log_variance / 2).exp(), **FLOAT32)


def test_total_variance_is_aleatoric_plus_epistemic() -> None:
    found = predicted(raw_outputs(40, 5, 2, 2, dtype=torch.float64))
    parts = found.epistemic_std.square() + found.aleatoric_std.square()
    torch.testing.assert_close(found.std.square(), parts, **FLOAT64)


@pytest.mark.parametrize("level", [0.05, 0.5, 0.9])
def test_a_quantile_is_that_of_the_mixture(level: float) -> None:
    raw = raw_outputs(40, 5, 2, dtype=torch.float64)
    kept, named = predicted(raw), predicted(raw, keep=False, levels=(level,))
    torch.testing.assert_close(named.quantile(level), kept.quantile(level), **EXACT)
    scale = (raw[..., 1] / 2).exp()
    below = scipy.stats.norm.cdf(kept.quantile(level), loc=raw[..., 0], scale=scale).mean(0)
    np.testing.assert_allclose(below, level, **FLOAT32)
    with pytest.raises(SamplesNotKeptError):
        _ = named.noise_std


def test_the_deterministic_pass_tells_its_noise_too() -> None:
    mc = network("tensor")
    found = mc.predict(X)
    assert isinstance(found, HeteroscedasticPredictive)
    with torch.no_grad():
        mean, log_variance = mc.model(X).chunk(2, 1)
    torch.testing.assert_close(found.deterministic, mean, **FLOAT32)
    torch.testing.assert_close(found.deterministic_std, (log_variance / 2).exp(), **FLOAT32)


def test_a_tolerance_is_about_the_mean_alone() -> None:
    found = network("tuple").predict(X, n_samples="auto", tolerance=0.03, exact=True)
    assert found.converged is not None
    assert found.converged.all()
    taken = int(found.samples_taken[0])
    expected = network("tuple").predict(X, n_samples=taken, exact=True)
    torch.testing.assert_close(found.std[0], expected.std[0], **EXACT)
    torch.testing.assert_close(found.standard_error[0], expected.standard_error[0], **EXACT)


def test_scores_are_those_of_the_mixture() -> None:
    found = network("column").predict(X)
    y = features(30, 1, seed=4)[:, 0]
    scores = {score.name: score.value for score in evaluate(found, y).scores}
    assert isinstance(found, HeteroscedasticPredictive)
    density = scipy.stats.norm.pdf(y, loc=found.samples, scale=found.noise_std).mean(0)
    assert scores["nll"] == pytest.approx(-np.log(density).mean(), rel=1e-5)
    assert {"crps", "rmse", "coverage"} <= scores.keys()


def test_blocks_of_a_server_take_the_same_outputs() -> None:
    mc = network("mapping")
    blocks = mc.exact_blocks(X)
    assert blocks.deterministic(mc.as_call(X[:1])).shape == (blocks.rows, 2, 2)


def test_results_are_saved_and_loaded(tmp_path: Path) -> None:
    found = network("tensor").predict(X, quantiles=[0.3])
    found.save(tmp_path / "p.npz")
    assert_same_rows(load_predictions(tmp_path / "p.npz"), found)
    assert {"aleatoric_std", "epistemic_std"} <= found.numpy().keys()


def test_a_checkpoint_keeps_the_task(tmp_path: Path) -> None:
    model = create("digits_cnn", width=2, hidden=8, p=0.5).eval()  # its ten outputs as 5 means, 5 variances
    mc = MCDropout(model, task="heteroscedastic", n_samples=16)
    x = features(3, 1, 8, 8)
    expected = mc.predict(x, exact=True)
    mc.save(tmp_path / "noisy")
    assert_same_rows(load(tmp_path / "noisy").predict(x, exact=True), expected)
    assert expected.mean.shape == (3, 5)


@pytest.mark.parametrize(
    ("outputs", "error", "match"),
    [
        (torch.zeros(4, 3, 5), ShapeError, r"outputs must be \(N, 2 D\), .* got shape \(3, 5\)"),
        (torch.zeros(4, 3), ShapeError, r"outputs must be \(N, 2 D\), .* got shape \(3,\)"),
        ((torch.zeros(4, 3), torch.zeros(4, 3, 1)), ShapeError, r"must have the same shape, got \(3,\) and"),
        ({"mean": torch.zeros(4, 3), "std": torch.zeros(4, 3)}, OptionError, r"got a dict \(mean, std\)"),
        ((torch.zeros(4, 3),) * 3, OptionError, r"returns \(mean, log_variance\), .* got a tuple"),
    ],
)
def test_other_outputs_are_refused(outputs: Any, error: type[McdropError], match: str) -> None:
    with pytest.raises(error, match=match):
        task_named("heteroscedastic").pick(outputs)


@pytest.mark.parametrize(
    ("log_variance", "match"),
    [
        (800.0, r"the variance overflows: log_variance must be a logarithm, got 800"),
        (torch.nan, "is NaN where"),
    ],
)
def test_variances_that_are_none_are_refused(log_variance: float, match: str) -> None:
    raw = raw_outputs(16, 4, 2)
    raw[3, 1, 1] = log_variance
    with pytest.raises(DomainError, match=match):
        predicted(raw)


def test_nan_stays_in_its_row() -> None:
    spoiled = X.clone()
    spoiled[4, 0] = torch.nan
    found = network("tensor").predict(spoiled)
    assert found.std.isnan().any(1).nonzero().flatten().tolist() == [4]


def test_a_variance_that_moves_is_no_spread_of_the_mean() -> None:
    raw = raw_outputs(32, 4, 2)
    raw[..., 0] = 1.0
    found = predicted(raw)
    assert found.notes == ("zero_variance",)
    torch.testing.assert_close(found.std, found.aleatoric_std, **EXACT)
