"""The report in a terminal, as text."""

from dataclasses import replace
from io import StringIO

from rich.console import Console

from mcdrop.evaluation import evaluate
from mcdrop.report.gates import GATED_SCORES
from mcdrop.report.terminal import render
from mcdrop.scorecard import Report
from tests.support.predictions import FakeClassPrediction, FakeRegression, normal, permutation

PROBS = normal(150, 3).softmax(-1)
CLASSES = evaluate(FakeClassPrediction(PROBS, deterministic=PROBS), permutation(150) % 3)
REGRESSION = evaluate(FakeRegression(normal(32, 40, 2), tau=1.0), normal(40, 2, seed=1))


def text(report: Report) -> str:
    out = StringIO()
    Console(file=out, width=120).print(render(report))
    return out.getvalue()


def test_it_shows_rows_samples_scores_intervals_and_the_deterministic_pass() -> None:
    shown = text(CLASSES)
    assert "classification: n = 150 rows, 64 samples, seed 7" in shown
    for title in ("accuracy", "NLL (nats)", "Brier score", "ECE", "95% interval", "deterministic"):
        assert title in shown
    assert f"{CLASSES.score('accuracy').value:.4g}" in shown


def test_outputs_have_their_own_lines_and_levels_their_names() -> None:
    shown = text(REGRESSION)
    for title in ("RMSE [0]", "RMSE [1]", "coverage at 90% [1]", "interval width at 90% [0]", "CRPS [0]"):
        assert title in shown
    assert "deterministic" not in shown


def test_the_verdict_comes_before_the_numbers() -> None:
    shown = text(CLASSES)
    for finding in CLASSES.verdict:
        assert finding.text.partition(":")[0] in shown
    assert shown.index("calibrated") < shown.index("accuracy")


def test_further_scores_and_those_before_calibration_have_their_place() -> None:
    shown = text(replace(CLASSES, before=CLASSES.scores))
    for title in ("AUROC of errors", "ECE, smooth", "over-confidence", "before"):
        assert title in shown


def test_groups_have_a_table_of_their_own() -> None:
    groups = ["north", "south"] * 75
    report = evaluate(FakeClassPrediction(PROBS), permutation(150) % 3, groups=groups, group_by="region")
    shown = text(report)
    assert all(word in shown for word in ("region", "north", "south"))


def test_rows_from_elsewhere_have_a_table_of_their_own() -> None:
    foreign = FakeClassPrediction((0.1 * normal(80, 3)).softmax(-1), deterministic=PROBS[:80])
    report = evaluate(FakeClassPrediction(PROBS), permutation(150) % 3, elsewhere=foreign)
    shown = text(report)
    assert "rows from elsewhere" in shown
    for each in report.elsewhere:
        assert f"{each.auroc:.4g}" in shown
        assert f"{each.fpr95:.1%}" in shown
    assert "elsewhere" not in text(CLASSES)


def test_notes_come_last() -> None:
    lines = text(REGRESSION).rstrip().splitlines()
    assert "note: only 40 rows: read the intervals, not the numbers" in lines
    assert lines[-1].startswith("note: ")


def test_every_score_that_can_have_a_gate_has_a_title() -> None:
    for name in GATED_SCORES:
        text(replace(CLASSES, scores=(replace(CLASSES.scores[0], name=name),)))
