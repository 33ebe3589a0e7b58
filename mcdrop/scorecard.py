"""The report as data: scores with their intervals, the calibration curve, and notes.

`mcdrop.evaluation.evaluate` fills it, `mcdrop.report` shows it, and it goes through JSON and back unchanged.
"""

import json
import math
from dataclasses import asdict, dataclass
from typing import Any, Final, Self

from mcdrop.errors import OptionError
from mcdrop.intervals import Interval
from mcdrop.scoring import Score

__all__ = ["SCHEMA_VERSION", "CurvePoint", "Report"]

SCHEMA_VERSION: Final = 1
"""Of the report as JSON; it grows when a reader of the old form would be misled."""


@dataclass(frozen=True)
class CurvePoint:
    """One point of the calibration curve.

    Attributes:
        stated: Mean confidence of a bin, or a quantile's level.
        observed: Share of events in the bin, or of outcomes up to the quantile.
        count: Pairs behind it.
        output: Which output it is about; None if there is one.
    """

    stated: float
    observed: float
    count: int
    output: int | None = None


@dataclass(frozen=True)
class Report:
    """Everything that `evaluate` found.

    Attributes:
        task: Of the prediction.
        n_rows: N.
        n_samples: S.
        seed: Of the masks.
        level: Confidence of the intervals.
        coverage_level: Nominal coverage of the prediction intervals that were checked.
        bins: Of the calibration errors.
        scores: Of the Monte Carlo prediction.
        deterministic: The same scores of the deterministic pass, as far as it has them; empty if it is
            unknown.
        curve: The calibration curve.
        calibration_p_value: Of the test that the prediction is calibrated; None if there is none.
        notes: What the reader should know: which number rests on too little, which is missing and why.
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

    def score(self, name: str, *, output: int | None = None) -> Score:
        """The score of that name.

        Raises:
            OptionError: If the report has none; says which it has.
        """
        for each in self.scores:
            if each.name == name and each.output == output:
                return each
        known = ", ".join(dict.fromkeys(each.name for each in self.scores))
        raise OptionError(
            f"score must be one of {known}, got {name!r}" + ("" if output is None else f" of output {output}")
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain data, with `schema_version`."""
        return {"schema_version": SCHEMA_VERSION, **asdict(self)}

    def to_json(self) -> str:
        """The report as JSON, which has no infinity: such a score is the string "Infinity" or "-Infinity"."""
        return json.dumps(_finite_json(self.to_dict()), indent=2, allow_nan=False) + "\n"

    @classmethod
    def from_dict(cls, data: dict[str, Any]) -> Self:
        """The report from what `to_dict` or parsed JSON gave.

        Raises:
            OptionError: If it is of another schema version.
        """
        version = data.get("schema_version")
        if version != SCHEMA_VERSION:
            raise OptionError(f"a report must have schema_version {SCHEMA_VERSION}, got {version!r}")
        fields = {key: value for key, value in data.items() if key != "schema_version"}
        return cls(
            **fields
            | {
                "scores": tuple(_read_score(each) for each in data["scores"]),
                "deterministic": tuple(_read_score(each) for each in data["deterministic"]),
                "curve": tuple(CurvePoint(**each) for each in data["curve"]),
                "notes": tuple(data["notes"]),
            }
        )


def _read_score(data: dict[str, Any]) -> Score:
    interval = None if data["interval"] is None else Interval(**data["interval"])
    return Score(data["name"], float(data["value"]), interval, data["output"])


def _finite_json(value: Any) -> Any:
    """The same data; the numbers that JSON has not are the strings that Python and JavaScript read back."""
    if isinstance(value, dict):
        return {key: _finite_json(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite_json(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value
