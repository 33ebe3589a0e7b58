"""What `MCDropout` takes: arrays, several inputs, mappings, and loaders of batches."""

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from mcdrop import MCDropout
from mcdrop.errors import (
    InputError,
    OptionError,
    ShapeError,
)
from tests.support.networks import Pair, classifier, features, fixed
from tests.support.predictives import assert_same_rows
from tests.support.tolerances import EXACT, FLOAT32

X = features(21)
CLASSIFIER = MCDropout(classifier(), task="classification", n_samples=32)
INDEPENDENT = MCDropout(classifier(), task="classification", n_samples=32, masks="independent")


@pytest.fixture
def mc() -> MCDropout:
    return MCDropout(classifier(), task="classification", n_samples=32)


def test_an_array_is_a_tensor() -> None:
    assert_same_rows(CLASSIFIER.predict(X.double().numpy()), CLASSIFIER.predict(X))


@pytest.mark.parametrize("rows", [1, 2, 3])
def test_in_the_callers_inference_mode_the_answers_are_the_same(mc: MCDropout, rows: int) -> None:
    wanted = CLASSIFIER.predict(X[:rows])
    with torch.inference_mode():
        got = mc.predict(X[:rows].clone())
    assert_same_rows(got, wanted)


def test_a_bare_list_is_refused() -> None:
    with pytest.raises(InputError, match="an input is a list"):
        CLASSIFIER.predict([X, X])


def pair() -> MCDropout:
    return MCDropout(fixed(Pair()), task="classification", n_samples=16)


LEFT, RIGHT = features(5, 4), features(5, 2, seed=1)


def test_several_inputs_are_given_in_order_by_name_or_as_a_mapping() -> None:
    mc = pair()
    expected = mc.predict(LEFT, RIGHT)
    assert_same_rows(mc.predict(LEFT, right=RIGHT), expected)
    assert_same_rows(mc.predict(right=RIGHT, left=LEFT), expected)
    assert_same_rows(mc.predict({"left": LEFT, "right": RIGHT}), expected)


def test_options_of_the_model_are_passed_on() -> None:
    mc = pair()
    without_right = mc.predict(LEFT, RIGHT, scale=0.0).mean
    torch.testing.assert_close(without_right, mc.predict(LEFT, 0 * RIGHT - 0.0, scale=0.0).mean, **EXACT)
    assert not torch.equal(without_right, mc.predict(LEFT, RIGHT).mean)


@pytest.mark.parametrize("method", ["predict", "sample", "trace", "sensitivity"])
def test_a_misspelt_option_is_no_input(method: str) -> None:
    mc = MCDropout(classifier(), task="classification")
    with pytest.raises(
        InputError, match="'nsamples' is no option here, and no input of forward, which takes"
    ):
        getattr(mc, method)(LEFT, nsamples=3)


def test_a_name_that_collides_goes_into_model_kwargs() -> None:
    mc = pair()
    pred = mc.predict(LEFT, RIGHT, seed=3, model_kwargs={"seed": 1})
    assert pred.seed == 3
    assert not torch.equal(pred.mean, mc.predict(LEFT, RIGHT, seed=3).mean)


def test_nested_outputs_keep_their_structure_and_logits_are_predicted() -> None:
    mc = pair()
    samples = mc.sample(LEFT, RIGHT)
    assert {name: tuple(values.shape) for name, values in samples.items()} == {
        "hidden": (16, 5, 8),
        "logits": (16, 5, 3),
    }
    expected = samples["logits"].softmax(2).mean(0)
    torch.testing.assert_close(mc.predict(LEFT, RIGHT).mean, expected, **FLOAT32)


class Twice(nn.Module):
    """Returns two tensors without names."""

    def __init__(self) -> None:
        super().__init__()
        self.body = classifier()

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.body(x), self.body(-x)


def test_several_outputs_without_a_name_are_sampled_and_not_predicted() -> None:
    mc = MCDropout(Twice().eval(), task="classification", n_samples=2)
    first, second = mc.sample(X)
    assert first.shape == second.shape == (2, 21, 3)
    with pytest.raises(OptionError, match="the model returns 2 tensors in a tuple and none of them is named"):
        mc.predict(X)


def test_different_numbers_of_rows_are_refused() -> None:
    with pytest.raises(ShapeError, match="all inputs must have the same number of rows"):
        pair().predict(LEFT, RIGHT[:3])


def test_nan_stays_in_its_row(mc: MCDropout) -> None:
    spoiled = X.clone()
    spoiled[3, 2] = torch.nan
    pred = mc.predict(spoiled)
    assert pred.mean.isnan().any(1).nonzero().flatten().tolist() == [3]


def loader(*tensors: Tensor, batch_size: int = 8) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(*tensors), batch_size=batch_size)


@pytest.mark.parametrize("mc", [CLASSIFIER, INDEPENDENT], ids=["consistent", "independent"])
def test_a_loader_gives_the_predictive_of_all_its_rows(mc: MCDropout) -> None:
    pred = mc.predict(loader(X, torch.zeros(21)), take=0, exact=True)
    assert_same_rows(pred, mc.predict(X, exact=True))


@pytest.mark.parametrize("mc", [CLASSIFIER, INDEPENDENT], ids=["consistent", "independent"])
def test_the_moments_of_a_loader_are_streamed_if_its_samples_are_dropped(mc: MCDropout) -> None:
    options: dict[str, Any] = {"exact": True, "keep_samples": False, "quantiles": [0.1], "n_samples": 150}
    pred = mc.predict(loader(X, torch.zeros(21)), take=0, **options)
    assert pred.kept_samples is None
    assert_same_rows(pred, mc.predict(X, **options))


def test_an_iterator_of_tensors_needs_no_take() -> None:
    pred = CLASSIFIER.predict(iter(X.split(4)), exact=True)
    assert_same_rows(pred, CLASSIFIER.predict(X, exact=True))


def test_entries_are_taken_by_number_and_by_name() -> None:
    mc = pair()
    expected = mc.predict(LEFT, RIGHT, exact=True)
    labels = torch.zeros(5)
    assert_same_rows(mc.predict(loader(labels, RIGHT, LEFT), take=[2, 1], exact=True), expected)
    batches = iter([{"l": LEFT[:2], "r": RIGHT[:2]}, {"l": LEFT[2:], "r": RIGHT[2:]}])
    names: Any = ["l", "r"]
    assert_same_rows(mc.predict(batches, take=names, exact=True), expected)


def test_mappings_of_a_loader_are_unpacked() -> None:
    mc = pair()
    batches = iter([{"left": LEFT, "right": RIGHT}])
    assert_same_rows(mc.predict(batches, exact=True), mc.predict(LEFT, RIGHT, exact=True))


def test_a_batch_of_several_things_asks_which_to_take() -> None:
    with pytest.raises(InputError, match="a batch of the loader holds 2 things; say which the model takes"):
        CLASSIFIER.predict(loader(X, torch.zeros(21)))


def test_a_loader_without_batches_is_refused() -> None:
    with pytest.raises(InputError, match="the loader gave no batches"):
        CLASSIFIER.predict(iter(()))


def test_batches_of_other_lengths_are_refused_at_the_first_that_does_not_fit() -> None:
    model = nn.Sequential(nn.Dropout(0.5), nn.ReLU())
    read = []

    def batches() -> Iterator[Tensor]:
        for length in (4, 5, 4, 4):
            read.append(length)
            yield torch.ones(2, length)

    with pytest.raises(ShapeError, match=r"must have one shape, got \(4,\) and then \(5,\); pad the inputs"):
        MCDropout(model, task="raw", n_samples=16).predict(batches())
    assert read == [4, 5]
