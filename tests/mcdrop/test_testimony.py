"""What is read off this library's own predictions: calibrated ones, and those that stop at a tolerance."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from mcdrop.calibrating import calibrate
from mcdrop.calibration.quantile_recalibration import fit_quantile_recalibration
from mcdrop.calibration.std_scaling import fit_std_scaling
from mcdrop.calibration.temperature import fit_temperature
from mcdrop.errors import OptionError
from mcdrop.evaluation import evaluate
from mcdrop.mcdropout import MCDropout
from mcdrop.metrics.regression import gaussian_negative_log_likelihood, mixture_negative_log_likelihood
from mcdrop.predictive import HeteroscedasticPredictive
from mcdrop.testimony import on_cpu
from tests.support.predictions import normal, permutation

X = normal(120, 6).float()


def classifier() -> MCDropout:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.5), nn.Linear(32, 3))
    return MCDropout(model, task="classification", n_samples=32)


def regressor(tau: float = 4.0) -> MCDropout:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.2), nn.Linear(32, 1))
    return MCDropout(model, task="regression", n_samples=32, tau=tau)


def test_what_calibration_gains_is_a_paired_difference() -> None:
    mc = classifier()
    y = permutation(120) % 3
    before = mc.predict(X, keep_samples=True)
    temperature = fit_temperature(before.samples, y)
    after = mc.calibrated(temperature).predict(X, keep_samples=True)
    report = evaluate(after, y, before=before)
    assert {score.name for score in report.before} == {score.name for score in report.scores}
    nll = next(each for each in report.against_before if each.name == "nll")
    gain = report.score("nll").value - next(each.value for each in report.before if each.name == "nll")
    assert nll.value == pytest.approx(gain, abs=1e-6)
    assert nll.value < 0  # fitted on these rows


def test_other_sampling_than_in_the_fit_makes_the_promises_void() -> None:
    mc = classifier()
    y = permutation(120) % 3
    pred = mc.predict(X, keep_samples=True)
    temperature = fit_temperature(pred.samples, y)
    report = evaluate(mc.calibrated(temperature).predict(X, n_samples=16), y)
    assert report.verdict[0].status == "bad"
    assert report.verdict[0].text.startswith("Calibration is void")


def test_a_promise_is_not_given_for_a_law_that_changed_since() -> None:
    mc = classifier()
    pred, y = mc.predict(X, keep_samples=True), permutation(120) % 3
    sets, temperature = (calibrate(pred, y, method) for method in ("sets", "temperature"))
    with pytest.raises(OptionError, match="temperature changes what adaptive_sets was fitted on"):
        mc.calibrated(sets).calibrated(temperature)


def test_a_stretched_law_is_scored_as_it_is_stretched() -> None:
    mc, y = regressor(), normal(120, 1, seed=1)
    pred = mc.predict(X, keep_samples=True)
    scaling = fit_std_scaling(pred.mean, pred.std, y)
    after = mc.calibrated(scaling).predict(X, keep_samples=True)
    report = evaluate(after, y)
    nll = gaussian_negative_log_likelihood(after.mean, after.std, y).mean().item()
    assert report.score("nll").value == pytest.approx(nll, abs=0.02)  # nearly a Gaussian
    parts = {part.name: part.mean for part in report.uncertainty}
    assert parts["total"] == pytest.approx(after.std.mean().item(), rel=1e-5)


def test_recalibrated_quantiles_are_judged_recalibrated() -> None:
    mc, y = regressor(tau=0.05), normal(120, 1, seed=1)  # far too unsure
    pred = mc.predict(X, keep_samples=True)
    poor = evaluate(pred, y)
    pit = torch.special.ndtr((y - pred.mean) / pred.std)
    after = mc.calibrated(fit_quantile_recalibration(pit)).predict(X, keep_samples=True)
    report = evaluate(after, y)
    assert report.score("qce").value < 0.2 * poor.score("qce").value
    assert any("before its quantiles were recalibrated" in note for note in report.notes)


def test_a_network_that_tells_its_noise_is_scored_with_it() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 2))
    mc, y = MCDropout(model, task="heteroscedastic", n_samples=32), normal(120, 1, seed=1)
    pred = mc.predict(X, keep_samples=True)
    assert isinstance(pred, HeteroscedasticPredictive)
    report = evaluate(pred, y)
    nll = mixture_negative_log_likelihood(pred.samples, pred.noise_std, y).mean().item()
    assert report.score("nll").value == pytest.approx(nll)
    single = {score.name: score.value for score in report.deterministic}
    expected = gaussian_negative_log_likelihood(pred.deterministic, pred.deterministic_std, y).mean().item()
    assert single["nll"] == pytest.approx(expected)
    assert set(single) == {score.name for score in report.scores}
    dropped = evaluate(mc.predict(X, keep_samples=False), y)
    assert not any("tau" in note for note in dropped.notes)


def test_rows_that_stop_at_a_tolerance_are_scored() -> None:
    mc, y = classifier(), permutation(120) % 3
    report = evaluate(mc.predict(X, n_samples="auto", tolerance=0.02), y)
    assert report.n_rows == 120
    assert np.isfinite(report.score("nll").value)


def test_other_rows_before_calibration_are_refused() -> None:
    pred = classifier().predict(X)
    with pytest.raises(ValueError, match="before must be a prediction of the same 120 rows, got 10"):
        evaluate(pred, permutation(120) % 3, before=replace(pred)[:10])


class Elsewhere(torch.Tensor):
    """A tensor of another device, as far as it says."""

    is_cpu = False

    def cpu(self) -> torch.Tensor:  # type: ignore[override]
        """A plain one."""
        return self.as_subclass(torch.Tensor)


@pytest.mark.parametrize("of", [classifier, regressor])
def test_predictions_from_another_device_are_read_on_the_processor(of: Callable[[], MCDropout]) -> None:
    here = of().predict(X)
    there = replace(
        here, mean=here.mean.as_subclass(Elsewhere), kept_samples=here.samples.as_subclass(Elsewhere)
    )
    read = on_cpu(there)
    assert (type(read.mean), type(read.kept_samples)) == (torch.Tensor, torch.Tensor)
    assert read.mean.data_ptr() == here.mean.data_ptr()
    assert on_cpu(here) is here
    assert type(there.mean) is Elsewhere


def test_predictions_of_others_that_name_no_fields_are_read_where_they_are() -> None:
    class Own:
        """What `evaluate` asks of a prediction, and no dataclass."""

        task, n_samples, seed, deterministic = "binary", 0, 0, None
        mean = torch.rand(9, generator=torch.Generator().manual_seed(0))

    assert on_cpu(own := Own()) is own
