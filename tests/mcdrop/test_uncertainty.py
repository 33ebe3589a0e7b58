"""The measures of uncertainty: closed forms, laws, and SciPy's entropy as a second opinion."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor

from mcdrop import uncertainty
from mcdrop.errors import DomainError, ShapeError
from tests.support.predictions import class_samples, normal, permutation, uniform
from tests.support.tolerances import FLOAT64

CERTAIN = torch.tensor(
    [[[1.0, 0.0]], [[0.0, 1.0]]], dtype=torch.float64
)  # two samples that contradict each other


def test_samples_that_contradict_each_other_are_all_epistemic() -> None:
    assert uncertainty.predictive_entropy(CERTAIN).item() == pytest.approx(math.log(2))
    assert uncertainty.expected_entropy(CERTAIN).item() == 0
    assert uncertainty.mutual_information(CERTAIN).item() == pytest.approx(math.log(2))
    assert uncertainty.variation_ratio(CERTAIN).item() == 0.5
    assert uncertainty.max_probability(CERTAIN).item() == 0.5


def test_samples_that_agree_on_a_coin_are_all_aleatoric() -> None:
    coins = torch.full((3, 1, 2), 0.5, dtype=torch.float64)
    assert uncertainty.expected_entropy(coins).item() == pytest.approx(math.log(2))
    assert uncertainty.mutual_information(coins).item() == 0
    assert uncertainty.variation_ratio(coins).item() == 0


@given(class_samples())
def test_total_is_aleatoric_plus_epistemic_and_every_part_is_in_range(probs: Tensor) -> None:
    total, aleatoric = uncertainty.predictive_entropy(probs), uncertainty.expected_entropy(probs)
    epistemic = uncertainty.mutual_information(probs)
    torch.testing.assert_close(total, aleatoric + epistemic, **FLOAT64)
    highest = math.log(probs.shape[-1]) + 1e-12
    for part in (total, aleatoric, epistemic):
        assert bool((part >= 0).all())
        assert bool((part <= highest).all())


@given(class_samples(), st.integers(0, 1000))
def test_the_order_of_samples_and_the_names_of_classes_change_nothing(probs: Tensor, seed: int) -> None:
    samples, classes = permutation(len(probs), seed=seed), permutation(probs.shape[-1], seed=seed)
    shuffled = probs[samples][..., classes]
    for measure in (
        uncertainty.predictive_entropy,
        uncertainty.expected_entropy,
        uncertainty.mutual_information,
        uncertainty.max_probability,
    ):
        torch.testing.assert_close(measure(shuffled), measure(probs), **FLOAT64)


@given(class_samples())
def test_a_single_sample_has_no_epistemic_part(probs: Tensor) -> None:
    assert bool((uncertainty.mutual_information(probs[:1]) == 0).all())
    assert bool((uncertainty.variation_ratio(probs[:1]) == 0).all())


@given(class_samples())
def test_the_variation_ratio_lies_between_zero_and_what_evenly_split_votes_give(probs: Tensor) -> None:
    ratio = uncertainty.variation_ratio(probs)
    assert bool((ratio >= 0).all())
    assert bool((ratio <= 1 - 1 / probs.shape[-1] + 1e-12).all())


def test_entropy_agrees_with_scipy() -> None:
    probs = (2 * normal(40, 7)).softmax(-1)
    expected = torch.from_numpy(np.asarray(stats.entropy(probs.numpy(), axis=-1)))
    torch.testing.assert_close(uncertainty.entropy(probs), expected, **FLOAT64)
    torch.testing.assert_close(uncertainty.entropy(probs.T, axis=0), expected, **FLOAT64)


@given(st.integers(0, 1000))
def test_events_are_laws_over_two_classes(seed: int) -> None:
    p = uniform(4, 3, seed=seed)
    both = torch.stack([p, 1 - p], -1)
    pairs = [
        (uncertainty.binary_predictive_entropy, uncertainty.predictive_entropy),
        (uncertainty.binary_expected_entropy, uncertainty.expected_entropy),
        (uncertainty.binary_mutual_information, uncertainty.mutual_information),
    ]
    for binary, classes in pairs:
        torch.testing.assert_close(binary(p), classes(both), **FLOAT64)


def test_certain_events_have_no_entropy() -> None:
    assert uncertainty.binary_entropy(torch.tensor([0.0, 1.0])).tolist() == [0.0, 0.0]


def test_further_dimensions_are_carried_along() -> None:
    probs = normal(3, 2, 4, 5, 6).softmax(-1)
    whole = uncertainty.mutual_information(probs)
    assert whole.shape == (2, 4, 5)
    torch.testing.assert_close(whole[:, 1, 2], uncertainty.mutual_information(probs[:, :, 1, 2]), **FLOAT64)


def test_arrays_are_taken_as_well() -> None:
    probs = normal(3, 2, 4).softmax(-1)
    assert torch.equal(uncertainty.mutual_information(probs.numpy()), uncertainty.mutual_information(probs))


def test_laws_over_one_class_have_no_uncertainty() -> None:
    assert uncertainty.predictive_entropy(torch.ones(2, 1, 1)).item() == 0
    assert uncertainty.max_probability(torch.ones(2, 1, 1)).item() == 1


@given(st.integers(0, 1000), st.integers(2, 6))
def test_total_variance_is_the_sum_of_its_parts(seed: int, samples: int) -> None:
    means, variances = normal(samples, 3, 2, seed=seed), uniform(samples, 3, 2, seed=seed)
    split = uncertainty.variance_split(means, variances=variances)
    assert torch.equal(split.total, split.epistemic + split.aleatoric)
    np.testing.assert_allclose(split.epistemic, means.numpy().var(0, ddof=1), **FLOAT64)
    np.testing.assert_allclose(split.aleatoric, variances.numpy().mean(0), **FLOAT64)


def test_tau_is_the_precision_of_the_noise() -> None:
    split = uncertainty.variance_split(torch.tensor([[1.0], [3.0]]), tau=4.0)
    assert (split.epistemic.item(), split.aleatoric.item(), split.total.item()) == (2.0, 0.25, 2.25)
    assert uncertainty.variance_split(torch.tensor([[1.0], [3.0]])).aleatoric.item() == 0


def test_bad_input_is_refused_with_what_was_wanted() -> None:
    with pytest.raises(ShapeError, match=r"probs must be \(S, N, ..., C\), got shape \(4, 2\)"):
        uncertainty.mutual_information(torch.zeros(4, 2))
    with pytest.raises(DomainError, match="sum to 1"):
        uncertainty.predictive_entropy(torch.zeros(1, 4, 2))
    with pytest.raises(ShapeError, match="at least 2 samples"):
        uncertainty.variance_split(torch.zeros(1, 4))
    with pytest.raises(DomainError, match="tau must be positive, got 0"):
        uncertainty.variance_split(torch.zeros(2, 4), tau=0)
    with pytest.raises(DomainError, match="give one of them"):
        uncertainty.variance_split(torch.zeros(2, 4), variances=torch.zeros(2, 4), tau=1)
    with pytest.raises(DomainError, match="variances must not be negative"):
        uncertainty.variance_split(torch.zeros(2, 4), variances=-torch.ones(2, 4))
