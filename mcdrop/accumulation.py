"""A report of predictions that come in batches: however many rows there are, none is kept.

Means, shares, bins and levels are summed; intervals are normal, as they are for many rows. What needs all
rows at once (ranking, thresholds, groups, rows that stand out, scores against samples) is left out, and the
report says so.

Alphabet: N rows of a batch, B bins, D outputs, Q levels.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Self

import torch
from torch import Tensor

from mcdrop.assessment.pairs import difference_of_roots
from mcdrop.assessment.readings import Readings
from mcdrop.assessment.sections import CurvePoint, Difference
from mcdrop.assessment.verdict import VOID, Evidence, verdict
from mcdrop.errors import OptionError
from mcdrop.intervals import bias_aware, two_sided, wilson_interval
from mcdrop.metrics.regression_calibration import LEVELS
from mcdrop.metrics.reliability import ReliabilityBins
from mcdrop.metrics.resampling import limit_errors, resampling_generator
from mcdrop.rowscores import RowScores
from mcdrop.scorecard import Report
from mcdrop.scoring import Score, ScoreOptions, root_score
from mcdrop.shapes import TensorLike
from mcdrop.streaming import StreamingMean, StreamingReliability
from mcdrop.testimony import Prediction, Wanted, testimony_of

__all__ = ["Accumulation", "Sums", "accumulated"]

_LEFT_OUT: Final = (
    "summed batch by batch: what needs all rows at once is left out (ranking, thresholds, over-confidence, "
    "smooth ECE, the parts of the Brier score, ENCE, rows that stand out, scores against samples)"
)
_REDRAWN: Final = 1000

Key = tuple[str, int | None]


@dataclass(frozen=True)
class Sums:
    """Row scores of one prediction, summed.

    Attributes:
        means: By name and output; None once a value was infinite.
        shares: Names of those that are 0 or 1.
        bins: Of confidences and events; None for a regression.
        below: (Q, D) outcomes at or below the quantile of each level; None for a classification.
    """

    means: Mapping[Key, StreamingMean | None] = field(default_factory=dict)
    shares: frozenset[str] = frozenset()
    bins: StreamingReliability | None = None
    below: Tensor | None = None

    def update(self, readings: Readings, *, bins: int) -> Self:
        """With the rows of a batch."""
        means = {(each.name, each.output): self._mean(each) for each in readings.rows}
        shares = frozenset(each.name for each in readings.rows if each.proportion)
        summed, below = self.bins, self.below
        if readings.pairs is not None:
            empty = StreamingReliability.empty(bins=bins) if summed is None else summed
            summed = empty.update(*(part.flatten().cpu() for part in readings.pairs))
        if readings.pit is not None:
            levels = torch.tensor(LEVELS, dtype=torch.float64, device="cpu").reshape(-1, 1, 1)
            counts = (readings.pit.cpu().unsqueeze(0) <= levels).to(torch.float64).sum(1)
            below = counts if below is None else below + counts
        return replace(self, means=means, shares=shares, bins=summed, below=below)

    def _mean(self, rows: RowScores) -> StreamingMean | None:
        known = self.means.get((rows.name, rows.output), StreamingMean())
        return known.update(rows.values.cpu()) if known and bool(rows.values.isfinite().all()) else None


@dataclass(frozen=True)
class Accumulation:
    """What is known of the batches so far. Immutable: `update` returns a new one.

    Attributes:
        options: How scores are computed.
        coverage_level: Nominal coverage of the intervals to check.
        pred: The latest batch, for what is the same in all; None before the first.
        n_rows: So far.
        sums: Of the Monte Carlo prediction.
        single: Of the deterministic pass.
        gaps: Monte Carlo minus deterministic.
        notes: Of the predictions, each once.
    """

    options: ScoreOptions
    coverage_level: float
    pred: Prediction | None = None
    n_rows: int = 0
    sums: Sums = Sums()
    single: Sums = Sums()
    gaps: Sums = Sums()
    notes: tuple[str, ...] = ()

    def update(self, pred: Prediction, y: TensorLike) -> Self:
        """With a batch.

        Args:
            pred: Of its rows.
            y: Their outcomes.

        Raises:
            OptionError: If it is of another task than those before.
            ShapeError: If `y` does not fit.
        """
        if self.pred is not None and self.pred.task != pred.task:
            raise OptionError(f"all batches must be of task {self.pred.task}, got {pred.task}")
        said = testimony_of(pred, y, Wanted(self.coverage_level, self.options.joint, None))
        bins = self.options.bins
        changed = replace(
            self,
            pred=pred,
            n_rows=self.n_rows + said.n_rows,
            sums=self.sums.update(said.readings, bins=bins),
            notes=tuple(dict.fromkeys((*self.notes, *getattr(pred, "notes", ())))),
        )
        if said.single is None:
            return changed
        gaps = replace(said.readings, rows=_gaps(said.readings.rows, said.single.rows), pairs=None, pit=None)
        return replace(
            changed, single=self.single.update(said.single, bins=bins), gaps=self.gaps.update(gaps, bins=bins)
        )

    def report(self) -> Report:
        """The report of all batches.

        Raises:
            OptionError: If there was none.
        """
        if self.pred is None:
            raise OptionError("a report needs at least one batch of predictions and outcomes, got none")
        scores = _scores(self.sums, self.options, self.n_rows)
        gaps = tuple(_differences(self.gaps, self.sums, self.single, self.options.level))
        found = Evidence(
            self.n_rows,
            self.pred.n_samples,
            self.options.level,
            self.coverage_level,
            scores,
            None,
            gaps,
            (),
            void=tuple(note for note in self.notes if note.startswith(VOID)),
        )
        return Report(
            task=self.pred.task,
            n_rows=self.n_rows,
            n_samples=self.pred.n_samples,
            seed=self.pred.seed,
            level=self.options.level,
            coverage_level=self.coverage_level,
            bins=self.options.bins,
            scores=scores,
            deterministic=_scores(self.single, self.options, self.n_rows),
            curve=_curve(self.sums, self.options, self.n_rows),
            calibration_p_value=None,
            notes=(*self.notes, _LEFT_OUT),
            verdict=verdict(found),
            against_deterministic=gaps,
        )


def accumulated(
    pairs: Iterable[tuple[Prediction, TensorLike]], options: ScoreOptions, coverage_level: float
) -> Report:
    """The report of predictions and outcomes that come in batches.

    Args:
        pairs: A prediction and its outcomes, batch by batch.
        options: How scores are computed.
        coverage_level: Nominal coverage of the intervals to check.

    Raises:
        OptionError: If there is no batch, or they are of several tasks.
    """
    found = Accumulation(options, coverage_level)
    for pred, y in pairs:
        found = found.update(pred, y)
    return found.report()


def _gaps(these: Sequence[RowScores], others: Sequence[RowScores]) -> tuple[RowScores, ...]:
    known = {(each.name, each.output): each.values for each in others}
    return tuple(
        RowScores(
            each.name, each.values - known[each.name, each.output], proportion=False, output=each.output
        )
        for each in these
        if (each.name, each.output) in known
    )


def _scores(sums: Sums, options: ScoreOptions, n_rows: int) -> tuple[Score, ...]:
    means = {key: _score(key, mean, sums, options.level) for key, mean in sums.means.items()}
    last = tuple(score for (name, _), score in means.items() if name in {"coverage", "width"})
    first = tuple(score for (name, _), score in means.items() if name not in {"coverage", "width"})
    return (*first, *_bin_scores(sums.bins, options), *_level_scores(sums.below, options, n_rows), *last)


def _score(key: Key, mean: StreamingMean | None, sums: Sums, level: float) -> Score:
    name, output = key
    if mean is None:
        return Score(name, math.inf, None, output)
    if name in sums.shares:
        hits = min(float(mean.count), max(0.0, mean.mean * mean.count))
        return Score(name, mean.mean, wilson_interval(hits, mean.count, level=level), output)
    score = Score(name, mean.mean, mean.interval(level=level) if mean.count > 1 else None, output)
    return root_score(score) if name == "mse" else score


def _bin_scores(bins: StreamingReliability | None, options: ScoreOptions) -> tuple[Score, ...]:
    """ECE with the bias-aware interval of `mcdrop.calibration_intervals.ece_interval`, from the sums."""
    if bins is None:
        return ()
    sums = bins.compute()
    total = float(sums.count.sum())
    value = sums.expected_error().item()
    of_chance, own = (resampling_generator(options.seed) for _ in range(2))
    gap = sums.event_sum - sums.confidence_sum
    chance = limit_errors(torch.zeros_like(gap), _chance(sums), total, _REDRAWN, of_chance)
    drawn = limit_errors(gap, sums.square_sum, total, _REDRAWN, own)
    bias, spread = chance.mean().item(), drawn.std().item()
    return (Score("ece", value, bias_aware(value, bias, spread, options.level), None, bias),)


def _chance(sums: ReliabilityBins) -> Tensor:
    """(B,) variance of the events of a bin if each had the bin's mean confidence, which is a little more."""
    share = (sums.confidence_sum / sums.count.clamp(min=1)).clamp(0, 1)
    return sums.count * share * (1 - share)


def _level_scores(below: Tensor | None, options: ScoreOptions, n_rows: int) -> tuple[Score, ...]:
    if below is None:
        return ()
    shares = below / n_rows
    shares = shares.mean(1, keepdim=True) if options.joint else shares
    gaps = (
        (shares - torch.tensor(LEVELS, dtype=torch.float64, device="cpu").unsqueeze(1)).abs().mean(0).tolist()
    )
    single = len(gaps) == 1
    return tuple(Score("qce", gap, None, None if single else d) for d, gap in enumerate(gaps))


def _curve(sums: Sums, options: ScoreOptions, n_rows: int) -> tuple[CurvePoint, ...]:
    if sums.bins is not None:
        return tuple(_bin_points(sums.bins.compute(), options))
    if sums.below is None:
        return ()
    columns = (sums.below / n_rows).T
    columns = columns.mean(0, keepdim=True) if options.joint else columns
    return tuple(
        CurvePoint(
            level,
            share,
            n_rows,
            None if len(columns) == 1 else d,
            *_band(level, level * (1 - level) / n_rows, options),
        )
        for d, column in enumerate(columns.tolist())
        for level, share in zip(LEVELS, column, strict=True)
    )


def _bin_points(sums: ReliabilityBins, options: ScoreOptions) -> Iterable[CurvePoint]:
    columns = sums.confidence, sums.frequency, sums.count, _chance(sums)
    for stated, observed, count, variance in zip(*(column.tolist() for column in columns), strict=True):
        if count:
            band = _band(stated, variance / count**2, options)
            yield CurvePoint(stated, observed, int(count), None, *band)


def _band(centre: float, variance: float, options: ScoreOptions) -> tuple[float, float]:
    half = two_sided(options.level) * math.sqrt(variance)
    return max(0.0, centre - half), min(1.0, centre + half)


def _differences(gaps: Sums, these: Sums, others: Sums, level: float) -> Iterable[Difference]:
    for (name, output), mean in gaps.means.items():
        if mean is None or mean.count < 2:
            continue
        found = Difference(name, mean.mean, mean.interval(level=level), output)
        this, other = these.means[name, output], others.means[name, output]
        if name == "mse" and this and other:  # both are finite where their difference is
            found = difference_of_roots(found, this.mean, other.mean)
        yield found
