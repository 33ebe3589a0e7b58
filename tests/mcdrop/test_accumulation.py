"""Predictions in batches: the report of the sums is that of all rows at once."""

import math
from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from mcdrop.errors import OptionError, ShapeError
from mcdrop.evaluation import Prediction, evaluate
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation, uniform

PROBS, LABELS = (2 * normal(300, 4)).softmax(-1), permutation(300) % 4
SAMPLES, Y = normal(40, 300, 2), normal(300, 2, seed=1)
PIECES = (slice(0, 100), slice(100, 101), slice(101, 300))


def class_batches() -> Iterator[tuple[Prediction, Tensor]]:
    for rows in PIECES:
        yield FakeClassPrediction(PROBS[rows], deterministic=PROBS.flip(0)[rows]), LABELS[rows]


def number_batches() -> Iterator[tuple[Prediction, Tensor]]:
    for rows in PIECES:
        samples = SAMPLES[:, rows]
        yield FakeRegression(samples, tau=1.0, deterministic=samples[0]), Y[rows]


def test_the_scores_of_batches_are_those_of_all_rows() -> None:
    classes = evaluate(class_batches())
    whole = evaluate(FakeClassPrediction(PROBS, deterministic=PROBS.flip(0)), LABELS)
    for score in classes.scores:
        assert score.value == pytest.approx(whole.score(score.name).value)
    assert [score.name for score in classes.scores] == ["accuracy", "nll", "brier", "ece"]
    assert [score.value for score in classes.deterministic] == pytest.approx(
        [score.value for score in whole.deterministic if score.name != "ece_l2"]
    )
    assert (classes.n_rows, classes.n_samples) == (300, 64)


def test_every_output_of_a_regression_is_summed() -> None:
    numbers = evaluate(number_batches())
    whole = evaluate(FakeRegression(SAMPLES, tau=1.0, deterministic=SAMPLES[0]), Y)
    assert {(score.name, score.output) for score in numbers.scores} == {
        (score.name, score.output) for score in whole.scores
    }
    for score in numbers.scores:
        assert score.value == pytest.approx(whole.score(score.name, output=score.output).value)


def test_intervals_are_those_of_many_rows() -> None:
    classes = evaluate(class_batches())
    whole = evaluate(FakeClassPrediction(PROBS, deterministic=PROBS.flip(0)), LABELS)
    for name in ("accuracy", "nll", "brier", "ece"):
        ours, theirs = classes.score(name).interval, whole.score(name).interval
        assert ours is not None
        assert theirs is not None
        width = theirs.upper - theirs.lower
        assert ours.lower == pytest.approx(theirs.lower, abs=0.25 * width)
        assert ours.upper == pytest.approx(theirs.upper, abs=0.25 * width)


def test_the_curve_is_that_of_all_rows() -> None:
    classes = evaluate(class_batches())
    whole = evaluate(FakeClassPrediction(PROBS), LABELS)
    assert [point.count for point in classes.curve] == [point.count for point in whole.curve]
    assert [point.observed for point in classes.curve] == pytest.approx([p.observed for p in whole.curve])
    quantiles = evaluate(number_batches()).curve
    expected = evaluate(FakeRegression(SAMPLES, tau=1.0), Y).curve
    assert [point.observed for point in quantiles] == pytest.approx([point.observed for point in expected])


def test_differences_are_paired_in_the_batches() -> None:
    whole = evaluate(FakeRegression(SAMPLES, tau=1.0, deterministic=SAMPLES[0]), Y)
    known = {(each.name, each.output): each.value for each in whole.against_deterministic}
    found = evaluate(number_batches()).against_deterministic
    assert {(each.name, each.output) for each in found} == set(known)
    for each in found:
        assert each.value == pytest.approx(known[each.name, each.output])


def test_a_void_promise_in_any_batch_is_said_once_and_in_the_verdict() -> None:
    void = "calibration is void: seed is 1, fitted with 0"
    batches = [(replace(pred, notes=(void,)), y) for pred, y in class_batches()]  # type: ignore[type-var]
    report = evaluate(batches)
    assert report.notes[0] == void
    assert report.notes.count(void) == 1
    assert report.verdict[0].status == "bad"
    assert "void" in report.verdict[0].text


def test_the_report_says_what_is_left_out() -> None:
    report = evaluate(class_batches(), facts={"model": "m"})
    assert "left out" in report.notes[0]
    assert report.rows == ()
    assert report.verdict
    assert report.facts == {"model": "m"}


def test_joint_outputs_are_averaged() -> None:
    joint = evaluate(number_batches(), joint=True)
    whole = evaluate(FakeRegression(SAMPLES, tau=1.0), Y, joint=True)
    for name in ("rmse", "nll", "qce", "coverage"):
        assert joint.score(name).value == pytest.approx(whole.score(name).value)


def test_an_infinite_score_stays_infinite() -> None:
    certain = torch.tensor([[1.0, 0.0]]).repeat(10, 1)
    batches = [
        (FakeClassPrediction(certain), torch.ones(10)),
        (FakeClassPrediction(certain), torch.zeros(10)),
    ]
    report = evaluate(batches)
    assert report.score("nll").value == math.inf
    assert report.score("nll").interval is None
    assert report.score("accuracy").value == 0.5


def test_what_cannot_be_summed_is_refused() -> None:
    with pytest.raises(OptionError, match=r"evaluate\(pred, y\); got no y"):
        evaluate(FakeClassPrediction(PROBS))
    with pytest.raises(OptionError, match="groups need all rows at once; got batches"):
        evaluate(class_batches(), groups=["a"] * 300)
    with pytest.raises(OptionError, match="at least one batch"):
        evaluate([])
    with pytest.raises(OptionError, match="all batches must be of task classification, got binary"):
        evaluate([next(class_batches()), (FakeClassPrediction(uniform(5), task="binary"), torch.ones(5))])
    with pytest.raises(ShapeError, match="y must have a value for each of the 100 rows"):
        evaluate([(FakeClassPrediction(PROBS[:100]), LABELS)])
