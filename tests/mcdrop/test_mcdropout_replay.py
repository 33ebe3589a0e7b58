"""What a sample of `MCDropout` depends on, and what it does not."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from mcdrop import MCDropout
from mcdrop.errors import (
    OptionError,
    ShapeError,
)
from tests.support.networks import classifier, features, regressor, segmenter
from tests.support.predictives import assert_same_rows
from tests.support.tolerances import EXACT, FLOAT32, monte_carlo

X = features(21)
CLASSIFIER = MCDropout(classifier(), task="classification", n_samples=32)
INDEPENDENT = MCDropout(classifier(), task="classification", n_samples=32, masks="independent")


@pytest.mark.parametrize("mc", [CLASSIFIER, INDEPENDENT], ids=["consistent", "independent"])
@given(n=st.integers(1, 40))
@settings(max_examples=10)
def test_the_first_samples_do_not_depend_on_how_many_are_asked_for(mc: MCDropout, n: int) -> None:
    torch.testing.assert_close(mc.sample(X, n_samples=n), mc.sample(X, n_samples=48)[:n], **FLOAT32)
    exact = mc.sample(X, n_samples=48, exact=True)[:n]
    torch.testing.assert_close(mc.sample(X, n_samples=n, exact=True), exact, **EXACT)


row_lists = st.lists(st.integers(0, 20), min_size=1, max_size=20)


@given(rows=row_lists)
@settings(max_examples=15)
def test_exact_answers_depend_neither_on_neighbours_nor_on_order(rows: list[int]) -> None:
    among = CLASSIFIER.predict(X[rows], exact=True, quantiles=[0.1])
    assert_same_rows(among, CLASSIFIER.predict(X, exact=True, quantiles=[0.1])[rows])


@given(rows=row_lists)
@settings(max_examples=15)
def test_independent_masks_follow_the_ids_of_the_rows(rows: list[int]) -> None:
    ids = [100 + row for row in rows]
    among = INDEPENDENT.predict(X[rows], exact=True, row_ids=ids)
    whole = INDEPENDENT.predict(X, exact=True, row_ids=range(100, 121))
    assert_same_rows(among, whole[rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_answers_for_pixels_do_not_depend_on_order(dtype: torch.dtype) -> None:
    mc = MCDropout(segmenter().to(dtype), task="classification", n_samples=20)
    x = features(21, 2, 3, 5).to(dtype)
    expected = mc.predict(x, exact=True)
    assert expected.mean.shape == (21, 3, 3, 5)
    for rows in ([*range(20, -1, -1)], [*range(7, 21), *range(7)], [3]):
        assert_same_rows(mc.predict(x[rows], exact=True), expected[rows])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_exact_quantiles_of_a_mixture_do_not_depend_on_order(dtype: torch.dtype) -> None:
    mc = MCDropout(regressor().to(dtype), task="regression", tau=3.7, n_samples=100)
    x, levels = X.to(dtype), [0.05, 0.3]
    expected = mc.predict(x, exact=True, quantiles=levels)
    for rows in ([*range(20, -1, -1)], [*range(7, 21), *range(7)], [3]):
        assert_same_rows(mc.predict(x[rows], exact=True, quantiles=levels), expected[rows])


def test_exact_and_fast_answers_agree_to_rounding() -> None:
    torch.testing.assert_close(CLASSIFIER.sample(X, exact=True), CLASSIFIER.sample(X), **FLOAT32)


def test_consistent_rows_share_their_masks_and_independent_rows_do_not() -> None:
    same = X[:1].expand(4, 6)
    shared, own = CLASSIFIER.sample(same), INDEPENDENT.sample(same)
    torch.testing.assert_close(shared, shared[:, :1].expand_as(shared), **FLOAT32)
    assert not torch.allclose(own, own[:, :1].expand_as(own))


def test_row_ids_belong_to_independent_masks() -> None:
    for call in (CLASSIFIER.sample, CLASSIFIER.predict):
        with pytest.raises(OptionError, match="row_ids belong to masks='independent'; with consistent masks"):
            call(X, row_ids=range(21))


def test_there_is_one_id_for_each_row() -> None:
    for call in (INDEPENDENT.sample, INDEPENDENT.predict):
        with pytest.raises(ShapeError, match="row_ids must have one id for each of the 21 rows, got 20"):
            call(X, row_ids=range(20))


def test_ids_left_over_are_refused() -> None:
    with pytest.raises(ShapeError, match="row_ids must have one id for each of the 21 rows, got 22"):
        INDEPENDENT.predict(X, row_ids=range(22))


def test_plain_and_stratified_draws_have_the_same_mean() -> None:
    plain = MCDropout(classifier(), task="raw", n_samples=2000, rng="philox-1-plain").predict(X)
    stratified = MCDropout(classifier(), task="raw", n_samples=2000).predict(X)
    reach = monte_carlo(2000) * plain.std
    assert ((plain.mean - stratified.mean).abs() <= reach).all()
    assert (stratified.standard_error.mean() < plain.standard_error.mean()).item()


def test_the_deterministic_pass_is_the_model_in_eval_mode() -> None:
    with torch.no_grad():
        expected = CLASSIFIER.model(X).softmax(1)
    torch.testing.assert_close(CLASSIFIER.predict(X).deterministic, expected, **FLOAT32)


def test_samples_have_the_spread_of_the_models_own_dropout() -> None:
    model = regressor()
    pred = MCDropout(model, task="regression", n_samples=4000).predict(X)
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        native = torch.stack([model.train()(X) for _ in range(4000)])
    reach = monte_carlo(4000) * native.std(0)
    assert ((pred.mean - native.mean(0)).abs() <= 2 * reach).all()
    torch.testing.assert_close(pred.std, native.std(0), rtol=2 * monte_carlo(4000), atol=0)
