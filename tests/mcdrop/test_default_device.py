"""`torch.set_default_device` of the user's: what we make stands where it belongs, whatever that is.

The default is the meta device, whose tensors hold no numbers: one that was made without saying where cannot
be computed with.
"""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

import mcdrop
from mcdrop import MCDropout
from mcdrop.errors import UnsupportedModelError
from tests.support.models import case
from tests.support.networks import classifier, features, regressor
from tests.support.tolerances import EXACT

X, Y = features(21), torch.arange(21) % 3
CLASSIFIER, REGRESSOR = classifier(), regressor()


@pytest.fixture(autouse=True)
def _elsewhere() -> Iterator[None]:
    with torch.device("meta"):
        yield


def of_classes(masks: str = "consistent") -> MCDropout:
    return MCDropout(CLASSIFIER, task="classification", n_samples=40, masks=masks)


ASKED: dict[str, Callable[[], Any]] = {
    "sample": lambda: of_classes().sample(X),
    "exact": lambda: of_classes().predict(X, exact=True),
    "an array": lambda: of_classes().predict(X.numpy()),
    "auto": lambda: of_classes().predict(X, n_samples="auto", tolerance=0.02),
    "independent": lambda: of_classes("independent").predict(X),
    "a loader": lambda: of_classes().predict(iter([X[:3], X[3:]])),
    "rows": lambda: of_classes().predict(X)[[1, 2]],
    "sensitivity": lambda: of_classes().sensitivity(X),
    "the doctor": lambda: mcdrop.inspect(of_classes(), X, y=Y),
    "scores of classes": lambda: mcdrop.evaluate(of_classes().predict(X), Y),
    "scores of numbers": lambda: mcdrop.evaluate(
        MCDropout(REGRESSOR, task="regression", tau=2.0, n_samples=40).predict(X), X[:, :1]
    ),
}


@pytest.mark.parametrize("asked", ASKED.values(), ids=ASKED)
def test_nothing_of_ours_is_made_on_the_default_device(asked: Callable[[], Any]) -> None:
    asked()


@pytest.mark.parametrize("name", ["encoder", "LSTM, packed", "DropPath", "DropConnect", "nn.Dropout(p=1)"])
def test_samples_are_those_of_any_other_default_device(name: str) -> None:
    with torch.device("cpu"):
        model, inputs = case(name).make()
        expected = MCDropout(model).sample(*inputs, n_samples=16)
    torch.testing.assert_close(MCDropout(model).sample(*inputs, n_samples=16), expected, **EXACT)


def test_a_model_without_numbers_is_refused() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(6, 3), torch.nn.Dropout(0.3))
    with pytest.raises(UnsupportedModelError, match=r"0 \(Linear\) has tensors on the meta device"):
        MCDropout(model).sample(X)
