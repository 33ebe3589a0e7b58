"""Calibration curves with their consistency bands, histograms, widths and spreads: what a diagram shows.

A consistency band is where the observed shares of a calibrated prediction would fall: curves that leave it
speak against calibration; inside it they do not.

Alphabet: N rows, P pairs, B bins, D outputs, R resamples.
"""

import math
from collections.abc import Callable, Iterator
from typing import Final

import torch
from torch import Tensor

from mcdrop.assessment.sections import CurvePoint, Histogram, SpreadPoint, WidthPoint
from mcdrop.intervals import two_sided
from mcdrop.metrics.regression_calibration import LEVELS, observed_frequencies
from mcdrop.metrics.reliability import bin_index, reliability
from mcdrop.metrics.resampling import binned, chunks, resampling_generator
from mcdrop.scoring import ScoreOptions

__all__ = [
    "confidence_histogram",
    "histogram",
    "pit_histograms",
    "quantile_curve",
    "reliability_curve",
    "spread_points",
    "thinned",
    "width_points",
]

_REDRAWN: Final = 1000
_NORMAL_ROWS: Final = 50_000
_WIDTH_ROWS: Final = 1000
_WIDTH_LEVELS: Final = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_PIT_BINS: Final = 10
_CONFIDENCE_BINS: Final = 20


def reliability_curve(confidence: Tensor, event: Tensor, options: ScoreOptions) -> tuple[CurvePoint, ...]:
    """The reliability diagram, with its band.

    Args:
        confidence: (P,) stated probabilities.
        event: (P,) outcomes, 0 or 1.
        options: Bins, level of the band, seed.

    Source:
        Broecker and Smith 2007, "Increasing the reliability of reliability diagrams".
    """
    bins = reliability(confidence, event, bins=options.bins)
    lower, upper = _band(confidence.to(torch.float64).flatten().clamp(0, 1), bins.count, options)
    columns = bins.confidence, bins.frequency, bins.count, lower, upper
    points = zip(*(column.tolist() for column in columns), strict=True)
    return tuple(
        CurvePoint(stated, observed, int(count), None, low, high)
        for stated, observed, count, low, high in points
        if count
    )


def confidence_histogram(confidence: Tensor) -> Histogram:
    """How often which confidence was stated, in 20 bins."""
    return histogram("confidence", confidence.flatten(), _CONFIDENCE_BINS)


def histogram(
    name: str, values: Tensor, bins: int, ends: tuple[float, float] = (0.0, 1.0), output: int | None = None
) -> Histogram:
    """Counts of values in bins of equal width between two ends."""
    counts = torch.histc(values.to(torch.float64).cpu(), bins=bins, min=ends[0], max=ends[1])
    return Histogram(name, *ends, tuple(map(int, counts.tolist())), output)


def quantile_curve(pit: Tensor, options: ScoreOptions) -> tuple[CurvePoint, ...]:
    """The curve of quantile calibration, with its band, for each output.

    Args:
        pit: (N, ...) PIT values.
        options: Whether outputs are joint, level of the band.

    Source:
        Kuleshov et al. 2018, arXiv:1807.00263, eq. 8.
    """
    columns = _columns(pit, options)
    observed = observed_frequencies(columns).T.tolist()
    outputs: list[int | None] = [None] if len(observed) == 1 else list(range(len(observed)))
    # of a joint curve the band is that of the rows: outputs of a row are not independent
    rows = len(pit)
    return tuple(
        CurvePoint(level, share, len(columns), output, *_binomial_band(level, rows, options.level))
        for output, shares in zip(outputs, observed, strict=True)
        for level, share in zip(LEVELS, shares, strict=True)
    )


def pit_histograms(pit: Tensor, options: ScoreOptions) -> tuple[Histogram, ...]:
    """Counts of the PIT values in ten bins, for each output: flat if the law is right."""
    columns = _columns(pit, options)
    return tuple(histogram("pit", values, _PIT_BINS, output=output) for output, values in _numbered(columns))


def width_points(
    pit: Tensor, interval: Callable[[float], tuple[Tensor, Tensor]], options: ScoreOptions
) -> tuple[WidthPoint, ...]:
    """Coverage against width of central intervals at ten levels; of many rows the widths of 1,000.

    Args:
        pit: (N, ...) PIT values; an outcome is covered at a level if its value is within half of it from 1/2.
        interval: Ends of the central intervals of a level, each (N', ...).
        options: Whether outputs are joint.
    """
    columns = _columns(pit, options)
    found = []
    for level in _WIDTH_LEVELS:
        lower, upper = interval(level)
        widths = _columns(upper.to(torch.float64) - lower.to(torch.float64), options).mean(0)
        shares = ((columns - 0.5).abs() <= level / 2 + 1e-12).to(torch.float64).mean(0)
        pairs = zip(shares.tolist(), widths.tolist(), strict=True)
        found += [WidthPoint(level, share, width, d) for d, (share, width) in enumerate(pairs)]
    single = columns.shape[1] == 1
    return tuple(WidthPoint(each.level, each.coverage, each.width) if single else each for each in found)


def spread_points(std: Tensor, error: Tensor, options: ScoreOptions) -> tuple[SpreadPoint, ...]:
    """Error against predicted standard deviation, in bins of equal mass, for each output.

    Args:
        std: (N, ...) predicted standard deviations.
        error: (N, ...) outcome minus prediction.
        options: Bins (at most one for ten rows).

    Source:
        Levi et al. 2019, arXiv:1905.11659, section 3.1.
    """
    bins = max(1, min(options.bins, len(std) // 10))
    squares = error.to(torch.float64).square().reshape(len(error), -1)
    spreads = std.to(torch.float64).reshape(len(std), -1)
    return tuple(
        SpreadPoint(math.sqrt(variance / count), math.sqrt(square / count), int(count), output)
        for output, spread in _numbered(spreads)
        for count, variance, square in _spread_sums(spread, squares[:, output or 0], bins)
        if count
    )


def thinned(rows: int) -> slice:
    """Which rows to compute widths of: all, or about 1,000 at equal distances."""
    return slice(None, None, max(1, rows // _WIDTH_ROWS))


def _spread_sums(spread: Tensor, square: Tensor, bins: int) -> Iterator[tuple[float, float, float]]:
    index = bin_index(spread, bins=bins, binning="equal_mass")
    sums = binned(torch.stack([torch.ones_like(spread), spread.square(), square]), index, bins)
    count, variance, error = (part.tolist() for part in sums)
    return zip(count, variance, error, strict=True)


def _columns(values: Tensor, options: ScoreOptions) -> Tensor:
    return values.reshape(1, -1).T if options.joint else values.reshape(len(values), -1)


def _numbered(columns: Tensor) -> Iterator[tuple[int | None, Tensor]]:
    single = columns.shape[1] == 1
    return ((None if single else d, columns[:, d]) for d in range(columns.shape[1]))


def _band(confidence: Tensor, count: Tensor, options: ScoreOptions) -> tuple[Tensor, Tensor]:
    """(B,) ends of the shares of events that calibrated data would have in each bin."""
    confidence, count = confidence.cpu(), count.cpu()
    index = bin_index(confidence, bins=options.bins, binning="equal_width")
    ends = torch.tensor([(1 - options.level) / 2, (1 + options.level) / 2], dtype=torch.float64, device="cpu")
    sums = _redrawn_events(confidence, index, options)
    shares = (sums / count).clamp(0, 1)  # an empty bin is NaN, and is left out of the curve
    lower, upper = torch.quantile(shares, ends, dim=0)
    return lower, upper


def _redrawn_events(confidence: Tensor, index: Tensor, options: ScoreOptions) -> Tensor:
    """(R, B) events of each bin, drawn from the confidences."""
    generator = resampling_generator(options.seed)
    if len(confidence) > _NORMAL_ROWS:
        columns = torch.stack([confidence, confidence * (1 - confidence)])
        mean, variance = binned(columns, index, options.bins)
        noise = torch.randn(_REDRAWN, options.bins, dtype=torch.float64, generator=generator, device="cpu")
        drawn_sums: Tensor = mean + noise * variance.sqrt()
        return drawn_sums
    drawn = [
        binned(
            (
                torch.rand(size, len(confidence), dtype=torch.float64, generator=generator, device="cpu")
                < confidence
            ).to(torch.float64),
            index,
            options.bins,
        )
        for size in chunks(_REDRAWN, len(confidence))
    ]
    return torch.cat(drawn)


def _binomial_band(p: float, trials: int, level: float) -> tuple[float, float]:
    """Ends of the share of successes, by the normal limit with a correction for its steps."""
    half = two_sided(level) * math.sqrt(p * (1 - p) / trials) + 0.5 / trials
    return max(0.0, p - half), min(1.0, p + half)
