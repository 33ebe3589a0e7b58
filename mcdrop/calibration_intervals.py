"""Confidence intervals of calibration errors, whose estimates are biased: a plain bootstrap of them misses.

On calibrated data it covers between never and 72 % where it says 95 %. So the binned L1 error gets a
bias-aware interval, and so does the error of quantile calibration; the L2 error gets the one of
arXiv:2408.08998; the smooth error and ENCE get bias-aware ones too.

Alphabet: N pairs of confidence and event (or PIT values, or errors), B bins, R resamples.
"""

import math
from typing import Final

import torch
from torch import Tensor

from mcdrop.intervals import Interval, bias_aware, normal_quantile, two_sided
from mcdrop.metrics.calibration_error import expected_calibration_error, squared_l2_error
from mcdrop.metrics.regression_calibration import (
    LEVELS,
    expected_normalized_calibration_error,
    quantile_calibration_error,
)
from mcdrop.metrics.reliability import bin_index, confidence_pairs, reliability
from mcdrop.metrics.resampling import (
    binned,
    bootstrap_errors,
    calibrated_errors,
    chunks,
    resampling_generator,
)
from mcdrop.metrics.smooth_calibration import (
    bootstrap_smooth_errors,
    calibrated_smooth_errors,
    smooth_calibration_error,
)
from mcdrop.shapes import TensorLike, check_fraction, check_rows, float64, probabilities

__all__ = ["ece_interval", "ence_interval", "l2_interval", "qce_interval", "smooth_interval"]


_ROWS_IN_BIN: Final = 20
"""From which on the mean of their squared errors is near enough to normal."""


def ece_interval(
    confidence: TensorLike,
    event: TensorLike,
    *,
    bins: int = 15,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """Bias-aware interval of the expected calibration error with bins of equal width.

    [ECE - b - z s, ECE + z s], cut to [0, 1]: b is the mean error that calibrated data with these
    confidences has (events redrawn from the confidences), s the bootstrap's standard deviation. The bias
    lies between 0 (errors far from calibrated) and b, so both ends hold; on calibrated data the interval
    begins at 0.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: How many bins.
        level: Confidence.
        resamples: R.
        seed: Of the resampling.

    Returns:
        The interval, within [0, 1].

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1], an outcome is not 0 or 1, or the level is no
            fraction.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        Broecker and Smith 2007, "Increasing the reliability of reliability diagrams", for the redrawn events;
        covered in 0.965 to 1 of simulated data sets.
    """
    check_fraction("level", level)
    confidence, event = confidence_pairs(confidence, event)
    check_rows(len(confidence), needed=2, what="an interval of a calibration error")
    index = bin_index(confidence, bins=bins, binning="equal_width")
    value = expected_calibration_error(confidence, event, bins=bins).item()
    generator = resampling_generator(seed)
    bias = calibrated_errors(confidence, index, bins, resamples, generator).mean().item()
    spread = bootstrap_errors(event - confidence, index, bins, resamples, generator).std().item()
    return bias_aware(value, bias, spread, level)


def qce_interval(pit: TensorLike, *, level: float = 0.95, resamples: int = 500, seed: int = 0) -> Interval:
    """Bias-aware interval of the quantile calibration error, made like `ece_interval`.

    Args:
        pit: (N,) PIT values.
        level: Confidence.
        resamples: R.
        seed: Of the resampling.

    Returns:
        The interval, within [0, 1].

    Raises:
        ShapeError: If `pit` is not one-dimensional.
        DomainError: If a value lies outside [0, 1] or the level is no fraction.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        As `ece_interval`; calibrated data are uniform PIT values.
    """
    check_fraction("level", level)
    values = probabilities("pit", pit, "N").cpu()
    check_rows(len(values), needed=2, what="an interval of a calibration error")
    value = quantile_calibration_error(values).item()
    generator = resampling_generator(seed)
    drawn, redrawn = [], []
    for count in chunks(resamples, len(values) * len(LEVELS)):
        uniform = torch.rand(len(values), count, dtype=torch.float64, generator=generator, device="cpu")
        picked = torch.randint(len(values), (len(values), count), generator=generator, device="cpu")
        drawn.append(quantile_calibration_error(uniform))
        redrawn.append(quantile_calibration_error(values[picked]))
    bias, spread = torch.cat(drawn).mean().item(), torch.cat(redrawn).std().item()
    return bias_aware(value, bias, spread, level)


def smooth_interval(
    confidence: TensorLike, event: TensorLike, *, level: float = 0.95, resamples: int = 200, seed: int = 0
) -> Interval:
    """Bias-aware interval of the smooth calibration error, made like `ece_interval`.

    s is at least that of the mean residual: it is what the bootstrap's comes to where all gaps have one sign,
    and the bootstrap's falls below it where the estimate lies near 0 by chance.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        level: Confidence.
        resamples: R.
        seed: Of the resampling.

    Returns:
        The interval, within [0, 1].

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1], an outcome is not 0 or 1, or the level is no
            fraction.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        As `ece_interval`. How often it holds is in docs/guarantees.md.
    """
    check_fraction("level", level)
    confidence, event = (part.cpu() for part in confidence_pairs(confidence, event))
    check_rows(len(confidence), needed=2, what="an interval of a calibration error")
    value, residual = smooth_calibration_error(confidence, event), event - confidence
    generator = resampling_generator(seed)
    bias = calibrated_smooth_errors(confidence, resamples, generator).mean().item()
    drawn = bootstrap_smooth_errors(confidence, residual, resamples, generator)
    spread = max(drawn.std().item(), residual.std().item() / math.sqrt(len(residual)))
    return bias_aware(value, bias, spread, level)


def ence_interval(
    std: TensorLike,
    error: TensorLike,
    *,
    bins: int = 15,
    level: float = 0.95,
    resamples: int = 500,
    seed: int = 0,
) -> Interval:
    """Bias-aware interval of ENCE, made like `ece_interval`, about the ENCE of these bins in many rows.

    The mean squared error of each bin is taken to be normal, with a variance from its own squares: so errors
    with heavy tails widen the interval, and raise the error that right standard deviations would have. The
    root is biased downwards, by which the upper end is moved up.

    Args:
        std: (N,) predicted standard deviations, positive.
        error: (N,) outcome minus prediction.
        bins: Bins of equal mass along the std.
        level: Confidence.
        resamples: R.
        seed: Of the resampling.

    Returns:
        The interval, at least 0.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a std is not positive or the level is no fraction.
        TooFewRowsError: If a bin holds fewer than 20 rows, in which the mean of squares is not normal.

    Source:
        As `ece_interval`. How often it holds is in docs/guarantees.md.
    """
    check_fraction("level", level)
    value = expected_normalized_calibration_error(std, error, bins=bins, simulations=1).value
    spread, errors = (float64(name, part).cpu() for name, part in (("std", std), ("error", error)))
    square, variance = _square_ratios(
        spread, errors, bin_index(spread, bins=bins, binning="equal_mass"), bins
    )
    generator = resampling_generator(seed)
    shape = resamples, len(square)
    noise = torch.randn(shape, dtype=torch.float64, generator=generator, device="cpu")
    ratios = (square + noise * variance.sqrt()).clamp(min=0).sqrt()
    own = torch.where(square > 0, variance / square.square(), 0.0).sqrt()
    again = torch.randn(shape, dtype=torch.float64, generator=generator, device="cpu")
    calibrated = (1 + again * own).clamp(min=0).sqrt()
    bias = (calibrated - 1).abs().mean().item()
    apart = ratios.var(0).sum().sqrt().item() / len(square)  # where no bin has the ratio 1
    margin = two_sided(level) * max((ratios - 1).abs().mean(1).std().item(), apart)
    below = max(0.0, (square.sqrt() - ratios.mean(0)).mean().item())
    return Interval(max(0.0, value - bias - margin), value + below + margin, level, "bias-aware")


def _square_ratios(std: Tensor, error: Tensor, index: Tensor, bins: int) -> tuple[Tensor, Tensor]:
    """Of each bin: mean squared error over mean variance, and the variance of that ratio."""
    squares = torch.stack([torch.ones_like(std), std.square(), error.square()])
    sums = binned(squares, index, bins)
    used = sums[0] > 0
    count, variances, errors = sums[:, used]
    check_rows(int(count.min()), needed=_ROWS_IN_BIN, what="an interval of ENCE, in each of its bins,")
    ratio = (sums[2] / sums[1]).nan_to_num()
    rest = (error.square() - ratio[index] * std.square()).square().unsqueeze(0)
    spread = binned(rest, index, bins)[0, used] / variances.square() * count / (count - 1)
    return errors / variances, spread


def l2_interval(
    confidence: TensorLike, event: TensorLike, *, bins: int = 15, level: float = 0.95
) -> Interval:
    """Interval of the L2 calibration error with bins of equal mass, around the debiased estimate.

    The estimate of the squared error is normal around it with a variance of two parts: of the gaps
    (vanishes on calibrated data) and of the products of residuals (what remains there); both are used. The
    lower end is one-sided near 0, and 0 wherever calibrated data could have given the estimate.

    Args:
        confidence: (N,) stated probabilities.
        event: (N,) outcomes, 0 or 1.
        bins: How many bins.
        level: Confidence.

    Returns:
        The interval, within [0, 1].

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If a confidence lies outside [0, 1], an outcome is not 0 or 1, or the level is no
            fraction.
        TooFewRowsError: If there are fewer than two rows.

    Source:
        Sun et al. 2024, arXiv:2408.08998, section 4; the variance of the degenerate part is computed from the
        confidences instead of its limit.
    """
    check_fraction("level", level)
    confidence, event = confidence_pairs(confidence, event)
    check_rows(len(confidence), needed=2, what="an interval of a calibration error")
    summed = reliability(confidence, event, bins=bins, binning="equal_mass")
    square = squared_l2_error(summed).clamp(min=0).item()
    index = bin_index(confidence, bins=bins, binning="equal_mass")
    null = _null_variance(confidence, index, bins)
    error = math.sqrt(_gap_variance(event - confidence, index, bins) + null)
    detectable = square >= normal_quantile(level) * math.sqrt(null)
    lower = _lower_square(square, error, level) if detectable else 0.0
    upper = square + two_sided(level) * error
    return Interval(math.sqrt(max(0.0, lower)), min(1.0, math.sqrt(upper)), level, "debiased L2")


def _null_variance(confidence: Tensor, index: Tensor, bins: int) -> float:
    """Variance of the squared error's estimate on calibrated data with these confidences."""
    variance = confidence * (1 - confidence)
    columns = torch.stack([torch.ones_like(variance), variance, variance.square()])
    count, total, squares = binned(columns, index, bins)
    pairs = (total.square() - squares).clamp(min=0)  # sum over i != j of v_i v_j
    usable = count >= 2
    per_bin = 2 * pairs[usable] / (count[usable] - 1).square()
    return float(per_bin.sum()) / len(confidence) ** 2


def _gap_variance(residual: Tensor, index: Tensor, bins: int) -> float:
    """Variance of the squared error's estimate that comes from gaps which are not 0."""
    columns = torch.stack([torch.ones_like(residual), residual, residual.square()])
    count, total, squares = binned(columns, index, bins)
    used = count > 0
    weight = count[used] / len(residual)
    gap_square, square = (total[used] / count[used]).square(), squares[used] / count[used]
    between = 4 * gap_square * square - 3 * gap_square.square()
    variance = (weight * between).sum() - (weight * gap_square).sum().square()
    return float(variance.clamp(min=0)) / len(residual)


def _lower_square(square: float, error: float, level: float) -> float:
    """Lower end for the squared error: two-sided far from 0, one-sided near it, half the estimate between."""
    one, two = normal_quantile(level) * error, two_sided(level) * error
    if square >= 2 * two:
        return square - two
    return max(square - one, 0.0) if square < 2 * one else square / 2
