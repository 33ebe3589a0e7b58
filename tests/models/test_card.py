"""Tables of a model card."""

from dataclasses import replace
from pathlib import Path

from mcdrop.evaluation import Report
from mcdrop.scoring import Score
from models import card


def report(accuracy: float, deterministic: float) -> Report:
    return Report(
        task="classification",
        n_rows=10,
        n_samples=16,
        seed=0,
        level=0.95,
        coverage_level=0.9,
        bins=15,
        scores=(Score("accuracy", accuracy, None),),
        deterministic=(Score("accuracy", deterministic, None),),
        curve=(),
        calibration_p_value=None,
        notes=(),
    )


def test_scores_are_shown_with_their_spread_over_the_seeds() -> None:
    table = card.score_table([report(0.9, 0.5), report(0.8, 0.5), report(1.0, 0.5)])
    assert table.splitlines() == [
        "| score | Monte Carlo | deterministic |",
        "| --- | --- | --- |",
        "| accuracy | 0.9 ± 0.1 | 0.5 ± 0 |",
    ]


def test_a_score_that_the_deterministic_pass_has_not_is_left_empty() -> None:
    bare = [replace(report(0.9, 0.5), deterministic=()) for _ in range(3)]
    assert card.score_table(bare).splitlines()[-1] == "| accuracy | 0.9 ± 0 |  |"


def test_the_table_of_rates_is_the_file(tmp_path: Path) -> None:
    (tmp_path / "rates.csv").write_text("p,log_likelihood\n0.1,-2.5\n")
    assert card.rates_table(tmp_path / "rates.csv").splitlines() == [
        "| p | log likelihood |",
        "| --- | --- |",
        "| 0.1 | -2.5 |",
    ]
