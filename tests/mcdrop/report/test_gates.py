"""Gates: limits on scores, and on the unfavourable ends of their intervals when strict."""

import math

import pytest

from mcdrop.errors import DomainError, OptionError
from mcdrop.intervals import Interval
from mcdrop.report.gates import Gate, check_gates, gates_from_options
from mcdrop.scorecard import Report
from mcdrop.scoring import Score


def report(*scores: Score) -> Report:
    return Report("classification", 100, 64, 0, 0.95, 0.9, 15, scores, (), (), None, ())


ECE = Score("ece", 0.02, Interval(0.0, 0.05, 0.95, "bias-aware"))
ACCURACY = Score("accuracy", 0.9, Interval(0.85, 0.94, 0.95, "Wilson"))
NLL = Score("nll", 0.3)


def test_limits_that_are_met_give_no_failure() -> None:
    gates = gates_from_options({"max_ece": 0.03, "min_accuracy": 0.9, "max_nll": None})
    assert gates == (Gate("ece", "max", 0.03), Gate("accuracy", "min", 0.9))
    assert check_gates(report(ECE, ACCURACY, NLL), gates) == []


def test_a_limit_is_met_when_equal() -> None:
    assert check_gates(report(ECE), [Gate("ece", "max", 0.02)]) == []


def test_a_failure_says_what_is_and_what_was_wanted() -> None:
    failures = check_gates(report(ECE, ACCURACY), gates_from_options({"max-ece": 0.01, "min-accuracy": 0.95}))
    assert failures == ["ece is 0.02; wanted at most 0.01", "accuracy is 0.9; wanted at least 0.95"]


def test_strict_gates_judge_the_unfavourable_end() -> None:
    gates = gates_from_options({"max_ece": 0.03, "min_accuracy": 0.88})
    failures = check_gates(report(ECE, ACCURACY), gates, strict=True)
    assert failures == [
        "ece is 0.02 (95% interval 0 to 0.05); wanted at most 0.03",
        "accuracy is 0.9 (95% interval 0.85 to 0.94); wanted at least 0.88",
    ]
    lenient = gates_from_options({"max_ece": 0.05, "min_accuracy": 0.85})
    assert check_gates(report(ECE, ACCURACY), lenient, strict=True) == []


def test_a_strict_gate_fails_without_an_interval() -> None:
    failures = check_gates(report(NLL), [Gate("nll", "max", 1.0)], strict=True)
    assert failures == ["nll is 0.3 and has no interval; wanted at most 1"]


def test_nan_and_infinite_scores_never_pass_a_maximum() -> None:
    for value in (math.nan, math.inf):
        assert len(check_gates(report(Score("nll", value)), [Gate("nll", "max", 1.0)])) == 1


def test_every_output_must_meet_the_limit() -> None:
    outputs = (Score("rmse", 1.0, output=0), Score("rmse", 3.0, output=1))
    assert check_gates(report(*outputs), [Gate("rmse", "max", 2.0)]) == [
        "rmse of output 1 is 3; wanted at most 2"
    ]


@pytest.mark.parametrize(
    ("name", "bound", "words"),
    [
        ("max_ece", 1.5, "--max-ece must lie between 0 and 1, got 1.5; write shares as"),
        ("min_accuracy", 95, "--min-accuracy must lie between 0 and 1, .*0.95 for 95 %"),
        ("max_ece_smooth", -0.1, "--max-ece-smooth must lie between 0 and 1"),
        ("max_ece", math.nan, "got nan"),
        ("max_rmse", -1, "--max-rmse must be at least 0, got -1$"),
        ("max_overconfidence", 2, "must lie between -1 and 1"),
        ("max_nll", math.inf, "--max-nll must be a finite number, got inf"),
    ],
)
def test_limits_that_say_nothing_are_refused(name: str, bound: float, words: str) -> None:
    with pytest.raises(DomainError, match=words):
        gates_from_options({name: bound})


def test_a_negative_log_likelihood_of_a_density_may_be_required() -> None:
    assert gates_from_options({"max_nll": -0.5, "max_crps": 40.0})


def test_bad_gates_are_refused() -> None:
    with pytest.raises(
        OptionError, match=r"a gate must be max_ or min_ and one of accuracy, .*, got 'max_luck'"
    ):
        gates_from_options({"max_luck": 1.0})
    with pytest.raises(OptionError, match="got 'about_ece'"):
        gates_from_options({"about_ece": 1.0})
    with pytest.raises(
        OptionError, match="the gate max-rmse 1 wants a score that a report of classification has: ece"
    ):
        check_gates(report(ECE), [Gate("rmse", "max", 1.0)])


def test_a_gate_reads_like_its_option() -> None:
    assert str(Gate("ece", "max", 0.03)) == "max-ece 0.03"
