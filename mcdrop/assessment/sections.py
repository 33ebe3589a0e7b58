"""The parts of a report as data. Numbers that JSON has not (infinity) are allowed; missing ones are None."""

from dataclasses import dataclass

from mcdrop.intervals import Interval
from mcdrop.scoring import Score

__all__ = [
    "CurvePoint",
    "Difference",
    "Finding",
    "GroupScores",
    "Histogram",
    "OodScore",
    "RiskPoint",
    "RowFact",
    "RowValues",
    "SamplesPoint",
    "SpreadPoint",
    "ThresholdChoice",
    "UncertaintyPart",
    "WidthPoint",
]


@dataclass(frozen=True)
class Finding:
    """One sentence of the verdict.

    Attributes:
        topic: `calibration`, `confidence`, `deterministic` or `samples`.
        status: `good`, `bad`, or `open` where the rows cannot tell.
        text: The sentence.
    """

    topic: str
    status: str
    text: str


@dataclass(frozen=True)
class CurvePoint:
    """One point of the calibration curve.

    Attributes:
        stated: Mean confidence of a bin, or a quantile's level.
        observed: Share of events in the bin, or of outcomes up to the quantile.
        count: Pairs behind it.
        output: Which output it is about; None if there is one.
        lower: Lower end of the consistency band: where a calibrated prediction's share would lie.
        upper: Upper end.
    """

    stated: float
    observed: float
    count: int
    output: int | None = None
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class Histogram:
    """Counts in bins of equal width.

    Attributes:
        name: What is counted: `pit`, `confidence`, `in_distribution` or `out_of_distribution`.
        low: Where the first bin begins.
        high: Where the last one ends.
        counts: Of the bins.
        output: Which output it is about; None if there is one.
    """

    name: str
    low: float
    high: float
    counts: tuple[int, ...]
    output: int | None = None


@dataclass(frozen=True)
class WidthPoint:
    """Coverage and width of the central intervals of one level.

    Attributes:
        level: Nominal coverage.
        coverage: Observed.
        width: Mean, in units of the output.
        output: Which output it is about; None if there is one.
    """

    level: float
    coverage: float
    width: float
    output: int | None = None


@dataclass(frozen=True)
class SpreadPoint:
    """Rows of similar predicted standard deviation.

    Attributes:
        std: Their root mean predicted variance, in units of the output.
        rmse: Their root mean squared error, in the same units.
        count: How many.
        output: Which output it is about; None if there is one.
    """

    std: float
    rmse: float
    count: int
    output: int | None = None


@dataclass(frozen=True)
class RiskPoint:
    """What remains when the most uncertain rows are left out.

    Attributes:
        coverage: Share of the rows that are answered.
        risk: Mean loss of the answered rows.
    """

    coverage: float
    risk: float


@dataclass(frozen=True)
class ThresholdChoice:
    """A threshold that one might choose.

    Attributes:
        threshold: Rows with an uncertainty up to it are answered.
        coverage: Their share.
        count: Their number.
        risk: Their mean loss.
        interval: Of the risk, at a threshold fixed beforehand.
    """

    threshold: float
    coverage: float
    count: int
    risk: float
    interval: Interval | None


@dataclass(frozen=True)
class SamplesPoint:
    """A score of the first samples of the run.

    Attributes:
        name: Of the score.
        n_samples: How many samples.
        value: Of the score.
        standard_error: Its Monte Carlo error; None if the run is too short to tell.
        distance: Root mean squared distance from the whole run's score, of runs as short as this one.
    """

    name: str
    n_samples: int
    value: float
    standard_error: float | None
    distance: float | None


@dataclass(frozen=True)
class UncertaintyPart:
    """One part of the uncertainty, over the rows.

    Attributes:
        name: `total`, `aleatoric` or `epistemic`.
        mean: Over the rows, in nats or units of the output.
        median: Over the rows.
        high: The 90 % point.
        right: Mean over the rows whose prediction is right; None for a regression or if there are none.
        wrong: Mean over those whose prediction is wrong.
    """

    name: str
    mean: float
    median: float
    high: float
    right: float | None = None
    wrong: float | None = None


@dataclass(frozen=True)
class RowFact:
    """One row that stands out.

    Attributes:
        reason: `uncertain` or `wrong`: among the most uncertain, or the most confidently wrong.
        row: Its number in the data, from 0.
        outcome: What was observed: a class, or a number.
        prediction: What was said: a class, or the mean.
        confidence: Probability of the predicted class; None for a regression.
        uncertainty: Total, in nats or units of the output.
        epistemic: The part of it that is the network's own; None if it is not known.
    """

    reason: str
    row: int
    outcome: str
    prediction: str
    confidence: float | None
    uncertainty: float
    epistemic: float | None


@dataclass(frozen=True)
class GroupScores:
    """Scores of the rows of one group.

    Attributes:
        group: Its name.
        n_rows: How many.
        scores: Of them.
    """

    group: str
    n_rows: int
    scores: tuple[Score, ...]


@dataclass(frozen=True)
class OodScore:
    """How well one measure tells rows from elsewhere.

    Attributes:
        measure: `total`, `epistemic`, or the baseline `max_probability` of the deterministic pass.
        auroc: Probability that a row from elsewhere has the larger value.
        interval: Of it.
        fpr95: Share of the rows from elsewhere that are taken in when 95 % of the others are.
        fpr95_interval: Of it, at this threshold.
    """

    measure: str
    auroc: float
    interval: Interval | None
    fpr95: float
    fpr95_interval: Interval | None


@dataclass(frozen=True)
class Difference:
    """A paired difference of two predictions on the same rows.

    Attributes:
        name: Of the score.
        value: This one's mean minus the other's; of `rmse` the difference of the roots.
        interval: Of it; None if there is none.
        output: Which output it is about; None if there is one.
    """

    name: str
    value: float
    interval: Interval | None
    output: int | None = None


@dataclass(frozen=True)
class RowValues:
    """One score of every row, for comparisons.

    Attributes:
        name: Of the score; `mse` are squared errors.
        values: (N,) in the order of the rows.
        proportion: Whether they are all 0 or 1.
        output: Which output they are about; None if there is one.
    """

    name: str
    values: tuple[float, ...]
    proportion: bool
    output: int | None = None
