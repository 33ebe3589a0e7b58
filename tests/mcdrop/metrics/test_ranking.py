"""Ranking by uncertainty: scikit-learn as a second opinion, ties by hand, laws."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve

from mcdrop.errors import DomainError, ShapeError
from mcdrop.metrics import ranking
from tests.support.predictions import normal, permutation, uniform


def coarse(rows: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Uncertainties with many ties, and errors that they partly explain; at least one of each kind."""
    uncertainty = (10 * uniform(rows, seed=seed)).floor() / 10
    error = (uniform(rows, seed=seed + 1) < uncertainty).double()
    error[0], error[1] = 0, 1
    return uncertainty, error


@given(st.integers(0, 300), st.integers(2, 60))
def test_scikit_learn_agrees_with_ties(seed: int, rows: int) -> None:
    uncertainty, error = coarse(rows, seed=seed)
    assert ranking.auroc(uncertainty, error).item() == pytest.approx(roc_auc_score(error, uncertainty))
    expected = average_precision_score(error, uncertainty)
    assert ranking.average_precision(uncertainty, error).item() == pytest.approx(expected)


@given(st.integers(0, 300))
def test_only_the_order_matters(seed: int) -> None:
    uncertainty, error = coarse(40, seed=seed)
    for measure in (ranking.auroc, ranking.average_precision, ranking.area_under_risk_coverage):
        plain, cubed = measure(uncertainty, error), measure(uncertainty**3, error)
        assert plain.item() == pytest.approx(cubed.item())


@given(st.integers(0, 300), st.integers(0, 99))
def test_the_order_of_the_rows_changes_nothing_not_even_among_ties(seed: int, shuffle: int) -> None:
    uncertainty, error = coarse(30, seed=seed)
    order = permutation(30, seed=shuffle)
    for measure in (
        ranking.auroc,
        ranking.area_under_risk_coverage,
        ranking.area_under_generalized_risk_coverage,
    ):
        shuffled = measure(uncertainty[order], error[order])
        assert shuffled.item() == pytest.approx(measure(uncertainty, error).item())


def test_aurc_without_ties_is_the_mean_of_the_selective_risks() -> None:
    uncertainty, loss = permutation(20).double(), uniform(20)
    ordered = loss[uncertainty.argsort()].numpy()
    risks = ordered.cumsum() / np.arange(1, 21)
    assert ranking.area_under_risk_coverage(uncertainty, loss).item() == pytest.approx(risks.mean())


def test_a_constant_uncertainty_gives_the_mean_loss_and_half_of_it() -> None:
    loss = [1.0, 0.0, 0.0, 0.0]
    assert ranking.area_under_risk_coverage([5.0] * 4, loss).item() == 0.25
    assert ranking.area_under_generalized_risk_coverage([5.0] * 4, loss).item() == 0.125


def test_the_best_order_by_hand() -> None:
    curve = ranking.risk_coverage([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1])
    assert curve.coverage.tolist() == [0.25, 0.5, 0.75, 1.0]
    assert curve.risk.tolist() == [0.0, 0.0, 0.0, 0.25]
    assert ranking.area_under_risk_coverage([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1]).item() == 0.0625
    assert ranking.area_under_generalized_risk_coverage([0.1, 0.2, 0.3, 0.4], [0, 0, 0, 1]).item() == 1 / 32


@given(st.integers(0, 300))
def test_augrc_follows_from_auroc_and_the_error_rate(seed: int) -> None:
    """Traub et al. 2024, eq. 8: AUGRC = (1 - AUROC) acc (1 - acc) + (1 - acc)^2 / 2."""
    uncertainty, error = coarse(50, seed=seed)
    wrong = error.mean().item()
    auroc = ranking.auroc(uncertainty, error).item()
    expected = (1 - auroc) * wrong * (1 - wrong) + wrong**2 / 2
    assert ranking.area_under_generalized_risk_coverage(uncertainty, error).item() == pytest.approx(expected)


def test_rows_from_elsewhere() -> None:
    inside, outside = normal(400), normal(300, seed=1) + 1
    labels = np.r_[np.zeros(400), np.ones(300)]
    expected = roc_auc_score(labels, torch.cat([inside, outside]))
    assert ranking.ood_auroc(inside, outside).item() == pytest.approx(expected)
    taken_in, accepted, _ = roc_curve(1 - labels, -torch.cat([inside, outside]), drop_intermediate=False)
    assert ranking.fpr_at_95(inside, outside).item() == pytest.approx(taken_in[np.argmax(accepted >= 0.95)])


def test_fpr95_takes_in_a_whole_number_of_rows() -> None:
    inside = torch.arange(20).double()
    assert ranking.fpr_at_95(inside, [17.5, 18.0, 18.5]).item() == pytest.approx(
        2 / 3
    )  # 19 of 20 are taken in


def test_one_row_of_each_kind() -> None:
    assert ranking.auroc([0.0, 1.0], [0, 1]).item() == 1.0
    assert ranking.auroc([1.0, 1.0], [0, 1]).item() == 0.5
    assert ranking.area_under_risk_coverage([1.0], [0.3]).item() == pytest.approx(0.3)


def test_bad_input_is_refused() -> None:
    with pytest.raises(
        DomainError, match="AUROC needs rows that are wrong and rows that are right, got 0 wrong"
    ):
        ranking.auroc([0.1, 0.2], [0, 0])
    with pytest.raises(DomainError, match="needs rows that are wrong, got none"):
        ranking.average_precision([0.1, 0.2], [0, 0])
    with pytest.raises(ShapeError, match=r"loss must have shape \(2,\), got shape \(1,\)"):
        ranking.risk_coverage([0.1, 0.2], [0.0])
    with pytest.raises(ShapeError, match=r"uncertainty must be \(N\), got shape \(1, 2\)"):
        ranking.auroc([[0.1, 0.2]], [[0, 1]])
