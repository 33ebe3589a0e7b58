"""The verdict: what is said, and when."""

from dataclasses import replace

from mcdrop.assessment.sections import Difference, SamplesPoint
from mcdrop.assessment.verdict import Evidence, verdict
from mcdrop.intervals import Interval
from mcdrop.scoring import Score


def interval(lower: float, upper: float) -> Interval:
    return Interval(lower, upper, 0.95, "test")


ECE = Score("ece", 0.02, interval(0.0, 0.05))
NLL = Score("nll", 0.3, interval(0.2, 0.4))
EVIDENCE = Evidence(500, 64, 0.95, 0.9, (ECE, NLL), 0.4, (), ())


def said(evidence: Evidence) -> list[tuple[str, str]]:
    return [(finding.topic, finding.status) for finding in verdict(evidence)]


def test_a_small_p_value_says_not_calibrated() -> None:
    assert said(EVIDENCE) == [("calibration", "good")]
    assert said(replace(EVIDENCE, p_value=0.01)) == [("calibration", "bad")]
    (found,) = verdict(replace(EVIDENCE, p_value=0.01))
    assert found.text.startswith("Not calibrated (p = 0.01): stated and observed frequencies lie 0.02 apart")
    assert "(95% interval 0 to 0.05)" in found.text


def test_without_a_test_the_interval_decides() -> None:
    outputs = (
        Score("qce", 0.02, interval(0.0, 0.05), output=0),
        Score("qce", 0.1, interval(0.04, 0.2), output=1),
    )
    (found,) = verdict(replace(EVIDENCE, p_value=None, scores=outputs))
    assert found.status == "bad"
    assert "of output 1" in found.text


def test_the_sign_of_the_gap_says_over_or_under_confident() -> None:
    def status(lower: float, upper: float) -> str:
        score = Score("overconfidence", (lower + upper) / 2, interval(lower, upper))
        (found,) = verdict(replace(EVIDENCE, scores=(score,)))
        return found.text.partition(":")[0]

    assert status(0.01, 0.03) == "Over-confident"
    assert status(-0.03, -0.01) == "Under-confident"
    assert status(-0.01, 0.02) == "Neither over- nor under-confident on the whole"


def test_few_rows_that_show_nothing_do_not_tell() -> None:
    gap = 0.11
    ece = Score("ece", 0.05, interval(0.0, gap))
    over = Score("overconfidence", 0.04, interval(-0.03, gap))
    under = Score("overconfidence", -0.04, interval(-gap, 0.03))
    held = Score("coverage", 0.9, interval(0.9 - gap, 0.95))
    for scores, words in (
        ((ece,), "No sign of miscalibration, and too few rows (500) to rule it out (p = 0.4): stated and"),
        ((over,), "Too few rows to tell over- from under-confidence: the stated probability is"),
        ((under,), "Too few rows to tell over- from under-confidence: the stated probability is"),
        ((held,), "Too few rows to tell over- from under-confidence: 90% intervals hold 90.0%"),
    ):
        (found,) = verdict(replace(EVIDENCE, scores=scores))
        assert (found.status, found.text.startswith(words)) == ("open", True), found
    all_held = Score("coverage", 1.0, interval(0.88, 1.0))  # nothing can lie above 1
    assert verdict(replace(EVIDENCE, scores=(all_held,)))[0].status == "good"


def test_intervals_that_hold_too_few_outcomes_are_over_confident() -> None:
    low = replace(EVIDENCE, scores=(Score("coverage", 0.7, interval(0.6, 0.8)),))
    assert verdict(low)[0].text.startswith("Over-confident: 90% intervals hold 70.0% of the outcomes")
    high = replace(EVIDENCE, scores=(Score("coverage", 0.99, interval(0.97, 1.0)),))
    assert verdict(high)[0].text.startswith("Under-confident")
    assert "as they must without the noise" in verdict(replace(low, noise_known=False))[0].text


def test_better_or_worse_than_one_pass_is_judged_on_the_paired_difference() -> None:
    def status(lower: float, upper: float) -> str:
        other = Difference("nll", (lower + upper) / 2, interval(lower, upper))
        return verdict(replace(EVIDENCE, scores=(), differences=(other,)))[0].status

    assert [status(-2, -1), status(1, 2), status(-1, 2)] == ["good", "bad", "open"]


def test_rows_with_hardly_an_error_do_not_say_worse_than_one_pass() -> None:
    """The surer of two predictions wins on right rows; what it costs when it is wrong is not seen there."""
    worse = (Difference("nll", 0.01, interval(0.001, 0.02)),)
    few, many = (
        replace(EVIDENCE, scores=(Score("accuracy", right / 500),), differences=worse) for right in (497, 480)
    )
    assert verdict(many)[0].text.startswith("Worse than the deterministic pass: NLL is 0.01 higher")
    (found,) = verdict(few)
    assert found.status == "open"
    why = "since fewer than 10 are wrong (3 of 500)"
    assert found.text.startswith(f"These rows do not tell it from the deterministic pass, {why}: NLL is")


def test_enough_samples_are_named() -> None:
    points = tuple(SamplesPoint("nll", n, 0.3, 0.1 / n, 0.1 / n) for n in (2, 4, 8, 16, 32, 64))
    found = verdict(replace(EVIDENCE, samples=points))[-1]
    assert found.text == (
        "16 samples would be enough for these rows (Monte Carlo error of NLL with 64: 0.0016)."
    )
    few = verdict(replace(EVIDENCE, samples=points[:2]))[-1]
    assert (few.status, few.text.partition(" would")[0]) == ("open", "More than 4 samples")
    last = verdict(replace(EVIDENCE, samples=points[:4]))[-1]
    assert last.text.startswith("16 samples are enough for these rows, and fewer are not")


def test_nothing_known_is_nothing_said() -> None:
    assert verdict(replace(EVIDENCE, scores=(Score("ece", 0.1), NLL))) == ()
