"""Ranking: does the uncertainty put the errors, or the rows from elsewhere, last?

Only the order of the uncertainties matters. Ties stay together: a threshold cannot tell equal rows apart.

Alphabet: N rows, K distinct uncertainties.
"""

from typing import NamedTuple

import torch
from torch import Tensor

from mcdrop.errors import DomainError
from mcdrop.shapes import TensorLike, event_labels, float64, same_shape, shaped

__all__ = [
    "RiskCoverage",
    "area_under_generalized_risk_coverage",
    "area_under_risk_coverage",
    "auroc",
    "average_precision",
    "fpr_at_95",
    "ood_auroc",
    "risk_coverage",
]


def auroc(uncertainty: TensorLike, error: TensorLike) -> Tensor:
    """Probability that an error is more uncertain than a correct row, ties counted half.

    Args:
        uncertainty: (N,) higher is less sure.
        error: (N,) 1 where the prediction is wrong, else 0.

    Returns:
        () between 0 and 1; 0.5 for an uncertainty that says nothing.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If there are no errors or nothing but errors.

    Source:
        Hanley and McNeil 1982, "The meaning and use of the area under a receiver operating characteristic
        curve".
    """
    scores, errors = _ranked(uncertainty, error)
    positives = errors.sum()
    negatives = len(errors) - positives
    if positives == 0 or negatives == 0:
        raise DomainError(
            f"AUROC needs rows that are wrong and rows that are right, got {int(positives)} wrong"
        )
    wins = (_mid_ranks(scores) * errors).sum() - positives * (positives + 1) / 2
    return wins / (positives * negatives)


def average_precision(uncertainty: TensorLike, error: TensorLike) -> Tensor:
    """Area under the precision-recall curve of the errors, as a step function (no interpolation).

    Args:
        uncertainty: (N,) higher is less sure.
        error: (N,) 1 where the prediction is wrong, else 0.

    Returns:
        () between 0 and 1; about the share of errors for an uncertainty that says nothing.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If there are no errors.

    Source:
        Davis and Goadrich 2006, "The relationship between precision-recall and ROC curves"; steps as
        scikit-learn.
    """
    scores, errors = _ranked(uncertainty, error)
    if not bool(errors.any()):
        raise DomainError("average precision needs rows that are wrong, got none")
    taken, wrong = _cumulative(-scores, errors)
    recall_step = wrong.diff(prepend=wrong.new_zeros(1)) / errors.sum()
    return (recall_step * wrong / taken).sum()


class RiskCoverage(NamedTuple):
    """What remains when the most uncertain rows are left out, from the strictest threshold to none.

    Attributes:
        threshold: (K,) distinct uncertainties, increasing; rows up to it are answered.
        coverage: (K,) share of rows that are answered.
        risk: (K,) mean loss of the answered rows.
    """

    threshold: Tensor
    coverage: Tensor
    risk: Tensor


def risk_coverage(uncertainty: TensorLike, loss: TensorLike) -> RiskCoverage:
    """The risk-coverage curve.

    Args:
        uncertainty: (N,) higher is less sure.
        loss: (N,) any loss; 0 and 1 for errors.

    Returns:
        One point for each distinct uncertainty.

    Raises:
        ShapeError: If the shapes differ.

    Source:
        El-Yaniv and Wiener 2010, "On the foundations of noise-free selective classification", section 2.
    """
    scores = shaped("uncertainty", uncertainty, "N")
    losses = same_shape("loss", float64("loss", loss), scores.shape)
    taken, total = _cumulative(scores, losses)
    return RiskCoverage(torch.unique(scores), taken / len(scores), total / taken)


def area_under_risk_coverage(uncertainty: TensorLike, loss: TensorLike) -> Tensor:
    """AURC: mean over k = 1 .. N of the risk of the k least uncertain rows, each tie taken in whole.

    Args:
        uncertainty: (N,) higher is less sure.
        loss: (N,) any loss; 0 and 1 for errors.

    Returns:
        () in units of the loss; the mean loss for an uncertainty that says nothing.

    Raises:
        ShapeError: If the shapes differ.

    Source:
        Geifman et al. 2019, arXiv:1805.08206, eq. 4.
    """
    curve = risk_coverage(uncertainty, loss)
    share = curve.coverage.diff(prepend=curve.coverage.new_zeros(1))
    return (share * curve.risk).sum()


def area_under_generalized_risk_coverage(uncertainty: TensorLike, loss: TensorLike) -> Tensor:
    """AUGRC: area under (loss of the answered rows) / N against coverage, trapezoidal, from coverage 0.

    Args:
        uncertainty: (N,) higher is less sure.
        loss: (N,) any loss; 0 and 1 for errors.

    Returns:
        () in units of the loss; half the mean loss for an uncertainty that says nothing.

    Raises:
        ShapeError: If the shapes differ.

    Source:
        Traub et al. 2024, arXiv:2407.01032, eq. 7.
    """
    curve = risk_coverage(uncertainty, loss)
    start = curve.coverage.new_zeros(1)
    coverage = torch.cat([start, curve.coverage])
    generalized = torch.cat([start, curve.risk * curve.coverage])
    return torch.trapezoid(generalized, coverage)


def ood_auroc(in_distribution: TensorLike, out_of_distribution: TensorLike) -> Tensor:
    """Probability that a row from elsewhere is more uncertain than one that is not, ties counted half.

    Args:
        in_distribution: (N,) uncertainties of rows from the distribution.
        out_of_distribution: (M,) uncertainties of rows from elsewhere.

    Returns:
        () between 0 and 1.

    Raises:
        ShapeError: If an argument is not one-dimensional or is empty.

    Source:
        Hendrycks and Gimpel 2017, arXiv:1610.02136, section 2.
    """
    inside = shaped("in_distribution", in_distribution, "N")
    outside = shaped("out_of_distribution", out_of_distribution, "M")
    foreign = torch.cat([torch.zeros_like(inside), torch.ones_like(outside)])
    return auroc(torch.cat([inside, outside]), foreign)


def fpr_at_95(in_distribution: TensorLike, out_of_distribution: TensorLike) -> Tensor:
    """FPR95: share of rows from elsewhere that are taken in when 95 % of the distribution's rows are.

    The positive class is *in distribution*. The other convention (share of in-distribution rows refused
    when 95 % of those from elsewhere are) is `fpr_at_95(-out_of_distribution, -in_distribution)`.

    Args:
        in_distribution: (N,) uncertainties of rows from the distribution.
        out_of_distribution: (M,) uncertainties of rows from elsewhere.

    Returns:
        () between 0 and 1; lower is better.

    Raises:
        ShapeError: If an argument is not one-dimensional or is empty.

    Source:
        Liang et al. 2018, arXiv:1706.02690, section 3.3.
    """
    inside = shaped("in_distribution", in_distribution, "N")
    outside = shaped("out_of_distribution", out_of_distribution, "M")
    needed = -(-19 * len(inside) // 20)  # the smallest whole number of rows that is 95 %, in integers
    threshold = inside.sort().values[needed - 1]
    return (outside <= threshold).to(torch.float64).mean()


def _ranked(uncertainty: TensorLike, error: TensorLike) -> tuple[Tensor, Tensor]:
    scores = shaped("uncertainty", uncertainty, "N")
    return scores, event_labels(error, like=scores.shape, name="error").to(scores.device)


def _mid_ranks(scores: Tensor) -> Tensor:
    """(N,) ranks from 1; equal scores share the mean of theirs."""
    _, inverse, count = torch.unique(scores, return_inverse=True, return_counts=True)
    last = count.cumsum(0).to(torch.float64)
    ranks: Tensor = (last - (count - 1) / 2)[inverse]
    return ranks


def _cumulative(scores: Tensor, losses: Tensor) -> tuple[Tensor, Tensor]:
    """(K,) rows, and (K,) sum of losses, up to each distinct score."""
    _, inverse, count = torch.unique(scores, return_inverse=True, return_counts=True)
    sums = torch.zeros(len(count), dtype=torch.float64, device=scores.device).index_add_(0, inverse, losses)
    return count.cumsum(0).to(torch.float64), sums.cumsum(0)
