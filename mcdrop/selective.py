"""Selective prediction with a promise: answer the rows that are sure enough, so that few answers are wrong.

Learn-then-Test: each candidate threshold is a hypothesis "the error of the answered rows is above the risk",
tested by an exact binomial bound; the thresholds share the permitted failure probability (Bonferroni), and
the one that answers most among those that pass is taken. With probability `confidence` over calibration
sets the error of the answered rows is at most `risk`. (An exact bound at a threshold that was picked by
scanning breaks that promise in 15 to 31 % of calibration sets.)

Alphabet: N rows, K thresholds.
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Final

import torch
from torch import Tensor

from mcdrop.calibration.fitted import Calibrator, SamplingSettings, data_digest, record
from mcdrop.shapes import TensorLike, check_fraction, check_rows, event_labels, float64, shaped

__all__ = ["SelectiveThreshold", "binomial_cdf", "fit_selective_threshold"]

_COVERAGES: Final = tuple(step / 20 for step in range(1, 20))


@dataclass(frozen=True)
class SelectiveThreshold(Calibrator):
    """A threshold with a promise about the rows below it.

    Attributes:
        risk: Promised bound of the share of errors among the answered rows.
        confidence: Probability with which it holds.
        threshold: Rows whose uncertainty is below it are answered; -infinity if no threshold passed.
        coverage: Share of the calibration rows that are answered.
    """

    kind: ClassVar[str] = "selective_threshold"

    risk: float
    confidence: float
    threshold: float
    coverage: float

    def apply(self, uncertainty: TensorLike) -> Tensor:
        """Which rows to answer.

        Args:
            uncertainty: (N, ...) of the kind that the threshold was fitted for.

        Returns:
            (N, ...) bool.

        Raises:
            DomainError: If a value is NaN.
        """
        return float64("uncertainty", uncertainty) < self.threshold

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON, with the `kind`; an infinite threshold is a string."""
        plain = super().to_dict()
        return plain | {"threshold": str(self.threshold) if math.isinf(self.threshold) else self.threshold}

    @classmethod
    def _read(cls, data: dict[str, Any]) -> dict[str, Any]:
        return {"threshold": float(data["threshold"])}


def fit_selective_threshold(
    uncertainty: TensorLike,
    error: TensorLike,
    *,
    risk: float,
    confidence: float = 0.9,
    thresholds: TensorLike | None = None,
    settings: SamplingSettings | None = None,
    digest: str | None = None,
) -> SelectiveThreshold:
    """The threshold that answers most while it keeps the promise.

    Args:
        uncertainty: (N,) of held-out rows; higher is less sure.
        error: (N,) 1 where the prediction is wrong, else 0.
        risk: Bound of the share of errors among answered rows, between 0 and 1.
        confidence: Probability with which the bound is to hold.
        thresholds: (K,) candidates, chosen before these rows were seen. By default 19 order statistics of the
            uncertainties (coverage 0.05 to 0.95) and no threshold at all: below an order statistic the rows
            are again independent draws, so that the test stays exact.
        settings: How the samples were drawn.
        digest: Of the rows; made from `uncertainty` and `error` if it is not given.

    Returns:
        The calibrator; if no candidate passes, it answers nothing.

    Raises:
        ShapeError: If the shapes differ.
        DomainError: If `risk` or `confidence` is not between 0 and 1, or an error is not 0 or 1.
        TooFewRowsError: If even without a single error no candidate could pass; says how many rows are
            needed.

    Source:
        Angelopoulos et al. 2021, arXiv:2110.01052, sections 2 and 3; binomial bound: Bates et al. 2021,
        arXiv:2101.02703.
    """
    check_fraction("risk", risk)
    check_fraction("confidence", confidence)
    scores = shaped("uncertainty", uncertainty, "N")
    errors = event_labels(error, like=scores.shape, name="error")
    candidates = _order_statistics(scores) if thresholds is None else shaped("thresholds", thresholds, "K")
    permitted = (1 - confidence) / len(candidates)
    needed = math.ceil(math.log(permitted) / math.log1p(-risk))
    check_rows(len(scores), needed=needed, what=f"a risk of {risk:g} with confidence {confidence:g}")
    passed = [c for c in candidates.tolist() if _p_value(scores, errors, c, risk) <= permitted]
    threshold = max(passed, default=-math.inf)
    coverage = (scores < threshold).to(torch.float64).mean().item()
    fitted_with = record(len(scores), settings, digest or data_digest(uncertainty, error))
    return SelectiveThreshold(fitted_with, risk, confidence, threshold, coverage)


def binomial_cdf(successes: int, trials: int, p: float) -> float:
    """Probability of at most `successes` in `trials` independent trials.

    Args:
        successes: From 0 to `trials`.
        trials: At least 0.
        p: Probability of a success, between 0 and 1.

    Returns:
        Between 0 and 1.
    """
    k = torch.arange(successes + 1, dtype=torch.float64, device="cpu")
    n = torch.tensor(trials, dtype=torch.float64, device="cpu")
    choose = torch.lgamma(n + 1) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)
    logs = choose + k * math.log(p) + (n - k) * math.log1p(-p)
    return min(1.0, logs.logsumexp(0).exp().item())


def _order_statistics(scores: Tensor) -> Tensor:
    ordered = scores.sort().values
    places = [min(len(ordered) - 1, math.ceil(share * len(ordered))) for share in _COVERAGES]
    everything = scores.new_full((1,), math.inf)
    return torch.cat([ordered[places], everything])


def _p_value(scores: Tensor, errors: Tensor, threshold: float, risk: float) -> float:
    """Of "the error of the rows below the threshold is above the risk"."""
    answered = scores < threshold
    return binomial_cdf(int(errors[answered].sum()), int(answered.sum()), risk)
