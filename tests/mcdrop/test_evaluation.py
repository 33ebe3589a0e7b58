"""`evaluate`: the report holds the scores of the metric functions, their intervals, and honest notes."""

import math
from dataclasses import dataclass, replace

import pytest
import torch
from torch import Tensor

from mcdrop.errors import DomainError, OptionError, SamplesNotKeptError, ShapeError
from mcdrop.evaluation import evaluate
from mcdrop.metrics import calibration_error, classification, crps, regression, regression_calibration
from tests.support.predictions import (
    FakeClassPrediction,
    FakeRegression,
    calibrated,
    normal,
    permutation,
    uniform,
)

PROBS, LABELS = (2 * normal(120, 4)).softmax(-1), permutation(120) % 4
SAMPLES, Y = normal(40, 120, 1), normal(120, seed=1)


@dataclass(frozen=True)
class Dropped:
    """A regression whose samples were dropped after the prediction."""

    mean: Tensor
    tau: float | None = 1.0
    deterministic: Tensor | None = None
    task: str = "regression"
    n_samples: int = 64
    seed: int = 7

    @property
    def samples(self) -> Tensor:
        raise SamplesNotKeptError("dropped")

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        raise SamplesNotKeptError(f"the quantiles of {level} were not named")


def test_a_classification_has_the_scores_of_the_metric_functions() -> None:
    report = evaluate(FakeClassPrediction(PROBS, deterministic=PROBS.flip(0)), LABELS)
    names = [score.name for score in report.scores]
    assert names == ["accuracy", "nll", "brier", "ece", "ece_l2"]
    assert [score.name for score in report.deterministic] == names
    assert report.score("accuracy").value == pytest.approx(classification.accuracy(PROBS, LABELS).item())
    nll = classification.negative_log_likelihood(PROBS, LABELS).mean().item()
    assert report.score("nll").value == pytest.approx(nll)
    pairs = calibration_error.top_label(PROBS, LABELS)
    assert report.score("ece").value == pytest.approx(
        calibration_error.expected_calibration_error(*pairs).item()
    )
    assert report.deterministic[0].value == pytest.approx(
        classification.accuracy(PROBS.flip(0), LABELS).item()
    )
    assert (report.n_rows, report.n_samples, report.seed) == (120, 64, 7)


def test_labels_in_a_column_are_the_same_labels() -> None:
    pred, y = FakeClassPrediction(normal(40, 3).softmax(-1)), permutation(40) % 3
    assert replace(evaluate(pred, y[:, None]), outcomes_digest=None) == replace(
        evaluate(pred, y), outcomes_digest=None
    )


def test_every_score_lies_in_its_interval() -> None:
    for report in (
        evaluate(FakeClassPrediction(PROBS), LABELS),
        evaluate(FakeRegression(SAMPLES, tau=1.0), Y),
    ):
        for score in report.scores:
            assert score.interval is not None
            assert score.interval.lower <= score.value <= score.interval.upper
            assert score.interval.level == 0.95


def test_ece_of_binary_is_of_the_event_and_not_of_the_label() -> None:
    p, y = calibrated(150)
    report = evaluate(FakeClassPrediction(p, task="binary"), y)
    assert report.score("ece").value == pytest.approx(
        calibration_error.expected_calibration_error(p, y).item()
    )
    assert report.score("brier").value == pytest.approx(classification.binary_brier_score(p, y).mean().item())


def test_labels_are_averaged_in_each_row_and_pooled_for_the_calibration() -> None:
    p, y = uniform(90, 3), (uniform(90, 3, seed=1) < 0.5).double()
    report = evaluate(FakeClassPrediction(p, task="multilabel"), y)
    brier = classification.multilabel_brier_score(p, y).mean().item()
    assert report.score("brier").value == pytest.approx(brier)
    pooled = calibration_error.expected_calibration_error(p.flatten(), y.flatten()).item()
    assert report.score("ece").value == pytest.approx(pooled)
    interval = report.score("accuracy").interval
    assert interval is not None
    assert interval.method == "BCa bootstrap"  # the labels of a row are not independent


def test_a_regression_with_tau_is_scored_as_a_mixture() -> None:
    report = evaluate(FakeRegression(SAMPLES, tau=4.0, deterministic=SAMPLES[0]), Y)
    y = Y.unsqueeze(-1)
    assert report.score("nll").value == pytest.approx(
        regression.mixture_negative_log_likelihood(SAMPLES, 0.5, y).mean().item()
    )
    assert report.score("crps").value == pytest.approx(crps.crps_mixture(SAMPLES, 0.5, y).mean().item())
    rmse = regression.root_mean_squared_error(SAMPLES.mean(0), y).item()
    assert report.score("rmse").value == pytest.approx(rmse)
    pit = regression_calibration.pit_mixture(SAMPLES, 0.5, y)
    assert report.score("qce").value == pytest.approx(
        regression_calibration.quantile_calibration_error(pit).item()
    )
    assert {score.name for score in report.deterministic} == {score.name for score in report.scores}
    assert report.calibration_p_value is not None


def test_a_deterministic_pass_with_tau_is_a_gaussian() -> None:
    report = evaluate(FakeRegression(SAMPLES, tau=4.0, deterministic=SAMPLES[0]), Y)
    single = {score.name: score.value for score in report.deterministic}
    half = torch.full((120,), 0.5)
    nll = regression.gaussian_negative_log_likelihood(SAMPLES[0, :, 0], half, Y).mean().item()
    assert single["nll"] == pytest.approx(nll)
    assert single["width"] == pytest.approx(2 * 1.6448536 * 0.5)


def test_a_regression_without_tau_says_what_is_missing() -> None:
    report = evaluate(FakeRegression(SAMPLES, deterministic=SAMPLES[0]), Y)
    assert [score.name for score in report.scores] == ["rmse", "mae", "crps", "qce", "coverage", "width"]
    assert [score.name for score in report.deterministic] == ["rmse", "mae"]
    assert report.score("crps").value == pytest.approx(
        crps.crps_blocks(SAMPLES, Y.unsqueeze(-1)).mean().item()
    )
    assert "tau is not fitted" in report.notes[0]


def test_fewer_than_two_blocks_make_the_crps_approximate() -> None:
    notes = evaluate(FakeRegression(SAMPLES[:20]), Y).notes
    assert any("the CRPS is approximate: 20 samples" in note for note in notes)


def test_dropped_samples_leave_the_errors_of_the_mean() -> None:
    report = evaluate(Dropped(SAMPLES[0]), Y)
    assert [score.name for score in report.scores] == ["rmse", "mae"]
    assert report.curve == ()
    assert any("samples were not kept" in note for note in report.notes)


def test_several_outputs_are_scored_each_or_jointly() -> None:
    samples, y = normal(40, 50, 2), normal(50, 2, seed=1)
    pred = FakeRegression(samples, tau=1.0)
    each, joint = evaluate(pred, y), evaluate(pred, y, joint=True)
    first, second = (each.score("mae", output=d).value for d in (0, 1))
    assert joint.score("mae").value == pytest.approx((first + second) / 2)
    assert each.score("coverage", output=1).value <= 1
    assert {point.output for point in each.curve} == {0, 1}
    assert {point.output for point in joint.curve} == {None}
    assert each.calibration_p_value is None  # outputs of a row are not independent


def test_pixels_of_a_row_count_once_in_the_intervals_of_means() -> None:
    probs = normal(30, 3, 5).softmax(1)
    report = evaluate(FakeClassPrediction(probs), permutation(150).reshape(30, 5) % 3)
    interval = report.score("accuracy").interval
    assert interval is not None
    assert interval.method == "BCa bootstrap"


def test_an_infinite_score_has_no_interval() -> None:
    certain = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
    report = evaluate(FakeClassPrediction(certain), torch.ones(10))
    assert report.score("nll").value == math.inf
    assert report.score("nll").interval is None


def test_one_row_is_scored_without_most_intervals() -> None:
    report = evaluate(FakeClassPrediction(PROBS[:1]), LABELS[:1])
    assert report.score("brier").interval is None
    assert report.score("ece").interval is None
    assert "only 1 row:" in report.notes[0]
    regression_report = evaluate(FakeRegression(SAMPLES[:, :1], tau=1.0), Y[:1])
    assert regression_report.score("qce").interval is None
    assert regression_report.score("rmse").interval is None


def test_notes_of_the_prediction_are_passed_on() -> None:
    assert "zero_variance" in evaluate(FakeClassPrediction(PROBS, notes=("zero_variance",)), LABELS).notes


def test_the_curve_is_the_reliability_diagram_or_the_quantiles() -> None:
    curve = evaluate(FakeClassPrediction(PROBS), LABELS).curve
    assert sum(point.count for point in curve) == 120
    quantiles = evaluate(FakeRegression(SAMPLES), Y).curve
    assert [point.stated for point in quantiles] == list(regression_calibration.LEVELS)


def test_options_reach_the_scores() -> None:
    report = evaluate(FakeRegression(SAMPLES, tau=1.0), Y, level=0.8, coverage_level=0.5)
    assert report.score("coverage").value < 0.8
    interval = report.score("coverage").interval
    assert interval is not None
    assert interval.level == 0.8
    coarse = evaluate(FakeClassPrediction(PROBS), LABELS, bins=1).score("ece").value
    assert coarse <= evaluate(FakeClassPrediction(PROBS), LABELS).score("ece").value


def test_a_score_that_is_not_there_is_an_error_that_lists_those_that_are() -> None:
    report = evaluate(FakeClassPrediction(PROBS), LABELS)
    with pytest.raises(
        OptionError, match=r"score must be one of accuracy, nll, brier, ece, ece_l2, .*got 'rmse'"
    ):
        report.score("rmse")
    with pytest.raises(OptionError, match="there is one 'nll', of no output, got output=1"):
        report.score("nll", output=1)


def test_a_score_of_several_outputs_is_asked_for_with_one_of_them() -> None:
    report = evaluate(FakeRegression(SAMPLES.expand(-1, -1, 3)), Y.unsqueeze(1).expand(-1, 3))
    assert report.score("rmse", output=2).value == report.score("rmse", output=0).value
    for output in (None, 3):
        wanted = f"one 'rmse' for each output, output=0 to 2, got output={output}; evaluate.* joint=True"
        with pytest.raises(OptionError, match=wanted):
            report.score("rmse", output=output)


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"y must have a value for each of the 120 rows, got shape \(3,\)"):
        evaluate(FakeClassPrediction(PROBS), [0, 1, 2])
    with pytest.raises(ShapeError, match=r"y must have shape \(120, 1\), got shape \(120, 2\)"):
        evaluate(FakeRegression(SAMPLES), uniform(120, 2))
    with pytest.raises(DomainError, match="y must be a class from 0 to 3, got 4"):
        evaluate(FakeClassPrediction(PROBS), torch.full((120,), 4))
    with pytest.raises(DomainError, match="y must not hold NaN, got NaN at row 0"):
        evaluate(FakeRegression(SAMPLES), torch.full((120,), math.nan))
    with pytest.raises(
        OptionError,
        match="task classification, binary, multilabel, regression, heteroscedastic to be scored, got 'raw'",
    ):
        evaluate(FakeClassPrediction(PROBS, task="raw"), LABELS)
    with pytest.raises(DomainError, match="level must be between 0 and 1, got 95"):
        evaluate(FakeClassPrediction(PROBS), LABELS, level=95)
    with pytest.raises(DomainError, match="at least one row to be scored, got 0"):
        evaluate(FakeClassPrediction(PROBS[:0]), torch.zeros(0))
