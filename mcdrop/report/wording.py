"""What things are called in every form of the report, and how numbers are written."""

from typing import Final

from mcdrop.intervals import Interval
from mcdrop.scorecard import Report
from mcdrop.scoring import HIGHER_IS_BETTER, Score

__all__ = [
    "EXPLAINED",
    "PART_TITLES",
    "TITLES",
    "arrow",
    "ends",
    "number",
    "percent",
    "percents",
    "sampled_title",
    "score_title",
    "title_of",
    "titled",
]

TITLES: Final = {
    "accuracy": "accuracy",
    "augrc": "AUGRC",
    "aurc": "AURC",
    "brier": "Brier score",
    "brier_miscalibration": "Brier, miscalibration",
    "brier_refinement": "Brier, refinement",
    "coverage": "coverage",
    "crps": "CRPS",
    "ece": "ECE",
    "ece_l2": "ECE, L2 debiased",
    "ece_smooth": "ECE, smooth",
    "ence": "ENCE",
    "error_aupr": "AUPR of errors",
    "error_auroc": "AUROC of errors",
    "mae": "MAE",
    "nll": "NLL (nats)",
    "overconfidence": "over-confidence",
    "qce": "quantile calibration error",
    "rmse": "RMSE",
    "width": "interval width",
}

EXPLAINED: Final = {
    "accuracy": "Share of rows whose most probable class is the label.",
    "augrc": "Errors that would be answered, over all thresholds; half the error for a useless order.",
    "aurc": "Mean risk when only the surest rows are answered; the error itself for a useless order.",
    "brier": "Mean squared distance of the probabilities from the outcome.",
    "brier_miscalibration": "Part of the Brier score that the best monotone recalibration would remove.",
    "brier_refinement": "Part that would remain: how well outcomes are told apart.",
    "coverage": "Share of outcomes inside their intervals.",
    "crps": "Distance of the whole predicted law from the outcome, in units of the output.",
    "ece": "Mean distance of stated and observed frequency, in bins of the stated one.",
    "ece_l2": "The same as a root mean square, without the bias of small bins.",
    "ece_smooth": "The same without bins.",
    "ence": "Relative distance of predicted standard deviation and error, in bins of the former.",
    "error_aupr": "How pure the most uncertain rows are in errors; the error rate for a useless order.",
    "error_auroc": "Probability that an error is more uncertain than a right row; 0.5 is chance.",
    "mae": "Mean absolute error of the mean, in units of the output.",
    "nll": "Mean negative log probability of what happened.",
    "overconfidence": "Mean stated probability minus observed share: above 0 it promises too much.",
    "qce": "Mean distance of stated quantile levels and observed shares.",
    "rmse": "Root mean squared error of the mean, in units of the output.",
    "width": "Mean width of the intervals, in units of the output: the price of coverage.",
}

PART_TITLES: Final = {
    "total": "total",
    "aleatoric": "aleatoric (the data's own)",
    "epistemic": "epistemic (the network's own)",
    "max_probability": "1 − largest probability, one pass",
}

_NOTHING: Final = 1e-12  # what rounding leaves of 0
_NEITHER: Final = frozenset({"coverage", "overconfidence"})


def titled(name: str, output: int | None, coverage_level: float) -> str:
    """What a score is called, with its level and its output."""
    level = f" at {coverage_level:.0%}" if name in {"coverage", "width"} else ""
    return title_of(name, output, level)


def sampled_title(report: Report) -> str:
    """What the prediction itself is called beside others; its samples may be of any tool."""
    return f"{report.n_samples} samples" if report.n_samples else "prediction"


def score_title(report: Report, score: Score) -> str:
    """What a score of a report is called."""
    return titled(score.name, score.output, report.coverage_level)


def title_of(name: str, output: int | None, more: str = "") -> str:
    """What a score is called, with its output."""
    title = f"{TITLES[name]}{more}"
    return title if output is None else f"{title} [{output}]"


def arrow(name: str) -> str:
    """Which way is better: up, down, or neither."""
    if name in _NEITHER:
        return ""
    return "↑" if name in HIGHER_IS_BETTER else "↓"


def number(value: float | None) -> str:
    """Four digits; nothing for what is not known."""
    if value is None:
        return ""
    return "0" if abs(value) < _NOTHING else f"{value:.4g}"


def percent(value: float) -> str:
    """Of a share, with one decimal."""
    return f"{value:.1%}"


def percents(interval: Interval | None) -> str:
    """Both ends of an interval of a share; nothing if there is none."""
    return "" if interval is None else f"{percent(interval.lower)} to {percent(interval.upper)}"


def ends(interval: Interval | None) -> str:
    """Both ends of an interval; nothing if there is none."""
    return "" if interval is None else f"{number(interval.lower)} to {number(interval.upper)}"
