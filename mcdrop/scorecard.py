"""The report as data: scores with their intervals, curves, rows, groups, and a verdict in words.

`mcdrop.evaluation.evaluate` fills it, `mcdrop.report` shows it, and it goes through JSON and back unchanged.
"""

import json
import math
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Self

from pydantic import TypeAdapter

from mcdrop.assessment.sections import (
    CurvePoint,
    Difference,
    Finding,
    GroupScores,
    Histogram,
    OodScore,
    RiskPoint,
    RowFact,
    RowValues,
    SamplesPoint,
    SpreadPoint,
    ThresholdChoice,
    UncertaintyPart,
    WidthPoint,
)
from mcdrop.charts.listing import chart_named
from mcdrop.errors import OptionError
from mcdrop.figures import draw_chart
from mcdrop.scoring import Score

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["SCHEMA_VERSION", "CurvePoint", "Report", "as_json"]

SCHEMA_VERSION: Final = 1
"""Of the report as JSON; it grows when a reader of the old form would be misled."""


@dataclass(frozen=True, repr=False)
class Report:
    """Everything that `evaluate` found. What was not asked for, or cannot be known, is empty.

    Attributes:
        task: Of the prediction.
        n_rows: N.
        n_samples: S.
        seed: Of the masks.
        level: Confidence of the intervals.
        coverage_level: Nominal coverage of the prediction intervals that were checked.
        bins: Of the calibration errors.
        scores: Of the Monte Carlo prediction.
        deterministic: The same scores of the deterministic pass, as far as it has them.
        curve: The calibration curve.
        calibration_p_value: Of the test that the prediction is calibrated; None if there is none.
        notes: What the reader should know: which number rests on too little, which is missing and why.
        verdict: The findings in words.
        further: More scores of the Monte Carlo prediction: overconfidence, other calibration errors, ranking.
        further_deterministic: The same of the deterministic pass.
        before: The scores before calibration.
        against_deterministic: Paired differences: Monte Carlo minus deterministic.
        against_before: Paired differences: calibrated minus before.
        histograms: Of the confidence or the PIT.
        widths: Coverage against width of a regression's intervals.
        spreads: Error against standard deviation of a regression.
        risk: The risk-coverage curve.
        risk_deterministic: That of the deterministic pass.
        choices: Thresholds that one might choose.
        samples: Scores against the number of samples.
        uncertainty: Its parts.
        rows: Those that stand out.
        group_by: What the groups are values of.
        groups: Scores by group.
        elsewhere: How well rows of another distribution are told apart.
        elsewhere_histograms: Of the uncertainty, in and out of the distribution.
        row_values: Scores of every row, for comparisons.
        outcomes_digest: Of the outcomes: reports with the same one can be compared row by row.
        facts: About data and model, by name.
    """

    task: str
    n_rows: int
    n_samples: int
    seed: int
    level: float
    coverage_level: float
    bins: int
    scores: tuple[Score, ...]
    deterministic: tuple[Score, ...]
    curve: tuple[CurvePoint, ...]
    calibration_p_value: float | None
    notes: tuple[str, ...]
    verdict: tuple[Finding, ...] = ()
    further: tuple[Score, ...] = ()
    further_deterministic: tuple[Score, ...] = ()
    before: tuple[Score, ...] = ()
    against_deterministic: tuple[Difference, ...] = ()
    against_before: tuple[Difference, ...] = ()
    histograms: tuple[Histogram, ...] = ()
    widths: tuple[WidthPoint, ...] = ()
    spreads: tuple[SpreadPoint, ...] = ()
    risk: tuple[RiskPoint, ...] = ()
    risk_deterministic: tuple[RiskPoint, ...] = ()
    choices: tuple[ThresholdChoice, ...] = ()
    samples: tuple[SamplesPoint, ...] = ()
    uncertainty: tuple[UncertaintyPart, ...] = ()
    rows: tuple[RowFact, ...] = ()
    group_by: str | None = None
    groups: tuple[GroupScores, ...] = ()
    elsewhere: tuple[OodScore, ...] = ()
    elsewhere_histograms: tuple[Histogram, ...] = ()
    row_values: tuple[RowValues, ...] = ()
    outcomes_digest: str | None = None
    facts: dict[str, str] = field(default_factory=dict)

    def __repr__(self) -> str:
        """The verdict and the scores with their intervals, a line each."""
        head = f"{self.task}: n = {self.n_rows} rows, {self.sampled}"
        found = (f"{each.status}: {each.text}" for each in self.verdict)
        notes = (f"note: {each}" for each in self.notes)
        return "\n".join((head, *found, *map(_score_line, self.all_scores()), *notes))

    @property
    def sampled(self) -> str:
        """How many samples of which seed, in words."""
        return f"{self.n_samples} samples, seed {self.seed}" if self.n_samples else "no samples"

    def score(self, name: str, *, output: int | None = None) -> Score:
        """The score of that name.

        Raises:
            OptionError: If the report has none; says which it has.
        """
        for each in self.all_scores():
            if each.name == name and each.output == output:
                return each
        outputs = [each.output for each in self.all_scores() if each.name == name]
        if outputs == [None]:
            raise OptionError(f"there is one {name!r}, of no output, got output={output}")
        if outputs:
            raise OptionError(
                f"there is one {name!r} for each output, output=0 to {len(outputs) - 1}, got output={output}"
                "; evaluate(..., joint=True) has one for all"
            )
        known = ", ".join(dict.fromkeys(each.name for each in self.all_scores()))
        raise OptionError(f"score must be one of {known}, got {name!r}")

    def all_scores(self) -> tuple[Score, ...]:
        """The first and the further scores of the Monte Carlo prediction."""
        return self.scores + self.further

    def plot(
        self, name: str = "calibration", *, output: int | None = None, ax: "Axes | None" = None
    ) -> "Axes":
        """Draw one of the report's charts by matplotlib.

        Args:
            name: `calibration`, `confidence`, `pit`, `widths`, `spreads`, `risk`, `samples_nll`,
                `samples_rmse` or `elsewhere`, as far as the report has them.
            output: Which output, if there are several.
            ax: Where to draw; new axes if not given.

        Returns:
            The axes, to be restyled; `axes.figure.savefig("chart.svg")` writes them.

        Raises:
            OptionError: If the report has no such chart; says which it has.
        """
        return draw_chart(chart_named(self, name, output=output), ax)

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, with `schema_version`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def to_json(self) -> str:
        """The report as JSON, which has no infinity: such a score is the string "Infinity" or "-Infinity"."""
        return as_json(self.to_dict())

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The report from what `to_dict` or parsed JSON gave.

        Raises:
            OptionError: If it is of another schema version.
            ValueError: If a part is missing or of another type.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise OptionError(f"a report must have schema_version {SCHEMA_VERSION}, got {version!r}")
        return TypeAdapter(cls).validate_python({k: v for k, v in data.items() if k != "schema_version"})


def _score_line(score: Score) -> str:
    name = score.name if score.output is None else f"{score.name}[{score.output}]"
    if score.interval is None:
        return f"{name:<22}{score.value:>11.4g}"
    ends = f"{score.interval.lower:.4g} to {score.interval.upper:.4g}"
    return f"{name:<22}{score.value:>11.4g}  ({score.interval.level:.0%}: {ends})"


def as_json(data: dict[str, Any]) -> str:
    """Plain data as JSON text; the numbers that JSON has not are words."""
    return json.dumps(_finite_json(data), indent=1, allow_nan=False) + "\n"


def _finite_json(value: Any) -> Any:
    """The same data; the numbers that JSON has not are the strings that Python and JavaScript read back."""
    if isinstance(value, dict):
        return {key: _finite_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
