"""Scores of single rows: what means, groups and paired comparisons are made of.

A set of row scores is kept for every score that is a mean over the rows. Further dimensions of a row (pixels,
tokens) are averaged within it, since they are not independent.

Alphabet: S samples, N rows, C classes, D outputs, ... further dimensions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mcdrop.empirical import sample_quantiles
from mcdrop.metrics.classification import (
    binary_brier_score,
    binary_correct,
    binary_negative_log_likelihood,
    brier_score,
    correct,
    negative_log_likelihood,
)
from mcdrop.metrics.crps import crps_blocks, crps_mixture
from mcdrop.metrics.regression import absolute_error, mixture_negative_log_likelihood, squared_error
from mcdrop.metrics.regression_calibration import covered, interval_width, pit_mixture, pit_samples
from mcdrop.mixture import mixture_quantiles

__all__ = [
    "GaussianMixture",
    "RowScores",
    "binary_rows",
    "classification_rows",
    "coverage_rows",
    "law_rows",
    "pit_of",
    "point_rows",
]


@dataclass(frozen=True)
class GaussianMixture:
    """The predictive law of a regression.

    Attributes:
        samples: (S, N, ...) mean of each sample.
        noise_std: Standard deviation of the noise around each sample, in units of the output, broadcasting to
            (S, N, ...); None if unknown.
    """

    samples: Tensor
    noise_std: Tensor | float | None

    def noise(self) -> Tensor | None:
        """(S, N, ...) float64 standard deviation of the noise around each sample; None if unknown."""
        if self.noise_std is None:
            return None
        noise = torch.as_tensor(self.noise_std, dtype=torch.float64, device=self.samples.device)
        return noise.expand_as(self.samples)

    def interval(self, level: float) -> tuple[Tensor, Tensor]:
        """Ends of the central interval that holds `level` of the law, each (N, ...)."""
        lower, upper = self.quantiles(((1 - level) / 2, (1 + level) / 2))
        return lower, upper

    def quantiles(self, levels: Sequence[float]) -> Tensor:
        """(Q, N, ...) the values below which the law lies with probabilities `levels`."""
        if self.noise_std is not None:
            return mixture_quantiles(self.samples, self.noise_std, levels)
        return sample_quantiles(self.samples, levels)


@dataclass(frozen=True)
class RowScores:
    """One score of every row.

    Attributes:
        name: Of the score; `mse` are the squared errors, whose root is the `rmse`.
        values: (N,) in units of the score.
        proportion: Whether they are all 0 or 1, so that their mean is a share of independent rows.
        output: Which output of the model they are about; None if there is one, or they are joint.
    """

    name: str
    values: Tensor
    proportion: bool = False
    output: int | None = None


def classification_rows(probs: Tensor, y: Tensor, *, class_axis: int = -1) -> tuple[RowScores, ...]:
    """Hits, log scores and Brier scores of class probabilities.

    Args:
        probs: (N, ..., C) class probabilities.
        y: (N, ...) labels.
        class_axis: Where the classes are.

    Raises:
        ShapeError: If the shapes do not fit.
        DomainError: If `probs` are no probabilities or a label is no class.
    """
    return (
        _accuracy(correct(probs, y, class_axis=class_axis)),
        RowScores("nll", _row_means(negative_log_likelihood(probs, y, class_axis=class_axis))),
        RowScores("brier", _row_means(brier_score(probs, y, class_axis=class_axis))),
    )


def binary_rows(p: Tensor, y: Tensor) -> tuple[RowScores, ...]:
    """Hits, log scores and Brier scores of P(y = 1); of several labels a row has the mean.

    Args:
        p: (N, ...) probabilities of the event.
        y: (N, ...) outcomes, 0 or 1.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If `p` lies outside [0, 1] or an outcome is not 0 or 1.
    """
    return (
        _accuracy(binary_correct(p, y)),
        RowScores("nll", _row_means(binary_negative_log_likelihood(p, y))),
        RowScores("brier", _row_means(binary_brier_score(p, y))),
    )


def point_rows(mean: Tensor, y: Tensor, *, joint: bool = False) -> tuple[RowScores, ...]:
    """Squared and absolute errors of the predicted means.

    Args:
        mean: (N, ...) predictions.
        y: (N, ...) outcomes.
        joint: Whether the outputs are averaged.

    Raises:
        ShapeError: If the shapes differ.
    """
    squares, distances = squared_error(mean, y), absolute_error(mean, y)
    return (*_outputs("mse", squares, joint=joint), *_outputs("mae", distances, joint=joint))


def law_rows(law: GaussianMixture, y: Tensor, *, joint: bool = False) -> tuple[RowScores, ...]:
    """Log score (if the noise is known) and CRPS.

    Args:
        law: The prediction.
        y: (N, ...) outcomes.
        joint: Whether the outputs are averaged.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    samples, noise = law.samples, law.noise_std
    if noise is None:
        return tuple(_outputs("crps", crps_blocks(samples, y), joint=joint))
    nll = mixture_negative_log_likelihood(samples, noise, y)
    return (
        *_outputs("nll", nll, joint=joint),
        *_outputs("crps", crps_mixture(samples, noise, y), joint=joint),
    )


def coverage_rows(lower: Tensor, upper: Tensor, y: Tensor, *, joint: bool = False) -> tuple[RowScores, ...]:
    """Whether the outcomes lie in their intervals, and the width of these.

    Args:
        lower: (N, ...) lower ends.
        upper: (N, ...) upper ends.
        y: (N, ...) outcomes.
        joint: Whether the outputs are averaged.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If an upper end lies below its lower end.
    """
    hits = tuple(_outputs("coverage", covered(lower, upper, y), joint=joint, proportion=True))
    return (*hits, *_outputs("width", interval_width(lower, upper), joint=joint))


def pit_of(law: GaussianMixture, y: Tensor) -> Tensor:
    """(N, ...) where the outcomes fall in the law, between 0 and 1.

    Raises:
        ShapeError: If the shapes do not fit.
    """
    if law.noise_std is None:
        return pit_samples(law.samples, y)
    return pit_mixture(law.samples, law.noise_std, y)


def _accuracy(hits: Tensor) -> RowScores:
    # a row of pixels is no coin: its share counts once
    return RowScores("accuracy", _row_means(hits), proportion=hits.numel() == len(hits))


def _row_means(values: Tensor) -> Tensor:
    return values.reshape(len(values), -1).mean(1)


def _outputs(name: str, values: Tensor, *, joint: bool, proportion: bool = False) -> Iterator[RowScores]:
    """One set for each output (column), or a single one if there is one output or they are joint."""
    columns = values.reshape(len(values), -1)
    if columns.shape[1] == 1:
        yield RowScores(name, columns[:, 0], proportion)
    elif joint:
        yield RowScores(name, columns.mean(1))
    else:
        yield from (RowScores(name, columns[:, d], proportion, d) for d in range(columns.shape[1]))
