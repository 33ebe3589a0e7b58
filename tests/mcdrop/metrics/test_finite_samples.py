"""First-order corrections: what few samples add on average is what is predicted."""

import math

import pytest
from torch import Tensor

from mcdrop.errors import DomainError, ShapeError
from mcdrop.metrics.finite_samples import entropy_bias, negative_log_likelihood_bias
from mcdrop.uncertainty import entropy
from tests.support.predictions import normal
from tests.support.tolerances import monte_carlo

SAMPLES, TRIALS = 30, 4000


def means() -> Tensor:
    """(TRIALS, 3) means of SAMPLES independent laws each."""
    return (1 + 0.8 * normal(TRIALS, SAMPLES, 3)).softmax(-1).mean(1)


def test_by_hand() -> None:
    assert negative_log_likelihood_bias([0.5, 1.0], [0.1, 0.0]).tolist() == pytest.approx([0.02, 0.0])
    assert entropy_bias([[0.5, 0.5]], [[0.1, 0.1]]).tolist() == pytest.approx([-0.02])


def test_without_error_there_is_no_bias_even_at_zero_and_with_one_at_zero_it_has_no_end() -> None:
    assert entropy_bias([[0.0, 1.0]], [[0.0, 0.0]]).tolist() == [0.0]
    assert negative_log_likelihood_bias([0.0, 0.0], [0.0, 0.1]).tolist() == [0.0, math.inf]


def test_few_samples_lower_the_entropy_of_the_mean_by_what_is_predicted() -> None:
    drawn = means()
    truth, error = drawn.mean(0), drawn.std(0)
    found = entropy(drawn) - entropy(truth)
    predicted = entropy_bias(truth.unsqueeze(0), error.unsqueeze(0)).item()
    assert found.mean().item() == pytest.approx(
        predicted, abs=monte_carlo(TRIALS, scale=found.std().item()) + 0.1 * abs(predicted)
    )
    assert predicted < 0


def test_few_samples_raise_the_log_score_by_what_is_predicted() -> None:
    p = means()[:, 0]
    truth, error = p.mean(), p.std()
    found = -p.log() + truth.log()
    predicted = negative_log_likelihood_bias(truth.unsqueeze(0), error.unsqueeze(0)).item()
    assert found.mean().item() == pytest.approx(
        predicted, abs=monte_carlo(TRIALS, scale=found.std().item()) + 0.1 * predicted
    )


def test_bad_input_is_refused() -> None:
    with pytest.raises(ShapeError, match=r"standard_error must have shape \(1,\), got shape \(2,\)"):
        negative_log_likelihood_bias([0.5], [0.1, 0.1])
    with pytest.raises(DomainError, match="standard_error must not be negative"):
        entropy_bias([[0.5, 0.5]], [[-0.1, 0.1]])
