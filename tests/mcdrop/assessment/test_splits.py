"""The parts of the uncertainty, and the rows that stand out."""

import math

import pytest
import torch

from mcdrop.assessment.splits import Described, standing_out, uncertainty_parts
from mcdrop.evaluation import evaluate
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation


def test_a_part_has_its_mean_median_and_90_percent_point() -> None:
    values = torch.arange(101, dtype=torch.float64).unsqueeze(-1)
    wrong = (values > 79).double()
    (part,) = uncertainty_parts({"total": values}, wrong)
    assert (part.mean, part.median, part.high) == (50, 50, 90)
    assert part.right == pytest.approx(39.5)
    assert part.wrong == pytest.approx(90)


def test_without_errors_there_is_no_mean_of_the_wrong_rows() -> None:
    (part,) = uncertainty_parts({"total": torch.ones(3, 1)}, torch.zeros(3, 1))
    assert (part.right, part.wrong) == (1, None)
    (part,) = uncertainty_parts({"total": torch.ones(3, 1)}, None)
    assert (part.right, part.wrong) == (None, None)


def test_the_most_uncertain_and_the_most_confidently_wrong_rows_come_in_their_order() -> None:
    total = torch.tensor([0.1, 0.9, 0.5])
    surprise = torch.tensor([0.4, -math.inf, 0.8])
    facts = standing_out(Described(str, str, None, total, None, surprise))
    assert [(fact.reason, fact.row) for fact in facts] == [
        ("uncertain", 1),
        ("uncertain", 2),
        ("uncertain", 0),
        ("wrong", 2),
        ("wrong", 0),
    ]


def test_rows_of_a_report_carry_the_names_of_the_classes() -> None:
    probs, labels = (3 * normal(30, 3)).softmax(-1), permutation(30) % 3
    report = evaluate(FakeClassPrediction(probs), labels, classes=["ant", "bee", "cat"])
    wrong = [fact for fact in report.rows if fact.reason == "wrong"]
    assert wrong
    for fact in wrong:
        assert fact.outcome == ["ant", "bee", "cat"][labels[fact.row]]
        assert fact.prediction == ["ant", "bee", "cat"][probs[fact.row].argmax()] != fact.outcome
        assert fact.confidence == pytest.approx(probs[fact.row].max().item())
    assert wrong == sorted(wrong, key=lambda fact: -(fact.confidence or 0))


def test_the_most_surprising_rows_of_a_regression_are_most_standard_deviations_off() -> None:
    samples, y = normal(40, 50, 1), 3 * normal(50, seed=1)
    report = evaluate(FakeRegression(samples, tau=1.0), y)
    std = (samples.var(0) + 1).sqrt()[:, 0]
    worst = ((y - samples.mean(0)[:, 0]).abs() / std).argmax().item()
    assert next(fact.row for fact in report.rows if fact.reason == "wrong") == worst


def test_total_is_aleatoric_and_epistemic() -> None:
    report = evaluate(FakeRegression(normal(40, 1, 1), tau=4.0), normal(1, seed=1))
    parts = {part.name: part.mean for part in report.uncertainty}
    assert parts["total"] ** 2 == pytest.approx(parts["aleatoric"] ** 2 + parts["epistemic"] ** 2)
    assert parts["aleatoric"] == pytest.approx(0.5)
