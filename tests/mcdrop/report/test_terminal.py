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


def test_it_says_whether_the_rows_speak_against_calibration() -> None:
    assert "not calibrated (p = 0.001)" in text(replace(CLASSES, calibration_p_value=0.001))
    assert "no sign of miscalibration in these rows (p = 0.4)" in text(
        replace(CLASSES, calibration_p_value=0.4)
    )


def test_notes_come_last() -> None:
    assert text(REGRESSION).rstrip().endswith("note: only 40 rows: read the intervals, not the numbers")


def test_every_score_that_can_have_a_gate_has_a_title() -> None:
    for name in GATED_SCORES:
        text(replace(CLASSES, scores=(replace(CLASSES.scores[0], name=name),)))
