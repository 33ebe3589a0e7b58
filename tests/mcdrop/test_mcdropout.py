"""`MCDropout` from the outside: what a call says, and what is refused."""

from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from mcdrop import MCDropout
from mcdrop.engine.philox import MAX_SEED
from mcdrop.errors import (
    DomainError,
    InputError,
    NothingRandomError,
    OptionError,
)
from tests.support.networks import classifier, features
from tests.support.tolerances import FLOAT32

X = features(21)
CLASSIFIER = MCDropout(classifier(), task="classification", n_samples=32)


@pytest.fixture
def mc() -> MCDropout:
    return MCDropout(classifier(), task="classification", n_samples=32)


def test_it_tells_itself_in_a_line() -> None:
    sampled = "n_samples=32, seed=0, masks='consistent'"
    assert repr(CLASSIFIER) == f"MCDropout(Sequential, task='classification', {sampled})"
    mc = MCDropout(classifier(), n_samples="auto", tolerance=0.01, max_samples=64)
    assert "n_samples='auto'" in repr(mc)
    assert repr(mc).endswith("tolerance=0.01, max_samples=64)")


def test_it_is_no_network_to_be_called() -> None:
    with pytest.raises(InputError, match=r"not called like a network: mc\.predict\(x\).*mc\.sample\(x\)"):
        MCDropout(classifier())(features(2, 6))


def test_defaults_come_from_the_object_and_a_call_overrides_them(mc: MCDropout) -> None:
    pred = mc.predict(X)
    assert (pred.n_samples, pred.seed, len(pred.samples)) == (32, 0, 32)
    pred = mc.predict(X, n_samples=20, seed=5)
    assert (pred.n_samples, pred.seed, len(pred.samples)) == (20, 5, 20)
    assert mc.sample(X, n_samples=7).shape == (7, 21, 3)
    assert (mc.n_samples, mc.seed) == (32, 0)


def test_one_seed_gives_one_answer_and_another_seed_another() -> None:
    assert torch.equal(CLASSIFIER.sample(X, seed=4), CLASSIFIER.sample(X, seed=4))
    assert not torch.equal(CLASSIFIER.sample(X, seed=4), CLASSIFIER.sample(X, seed=5))


@pytest.mark.parametrize("seed", [-1, MAX_SEED + 1, 1.5, True, "0"])
def test_a_seed_out_of_range_is_refused(seed: Any) -> None:
    for call in (CLASSIFIER.sample, CLASSIFIER.predict):
        with pytest.raises(DomainError, match=r"seed must be an integer between 0 and 2\^63 - 1, got"):
            call(X, seed=seed)
    with pytest.raises(DomainError, match="seed must be an integer"):
        MCDropout(classifier(), seed=seed)


def test_the_largest_seed_is_taken() -> None:
    assert CLASSIFIER.predict(X, seed=MAX_SEED, n_samples=2).seed == MAX_SEED


@pytest.mark.parametrize("n_samples", [0, -1, True, 2.0, "16"])
def test_a_number_of_samples_that_is_none_is_refused(n_samples: Any) -> None:
    with pytest.raises(DomainError, match="n_samples must be an integer of at least 1, got"):
        CLASSIFIER.sample(X, n_samples=n_samples)
    with pytest.raises(DomainError, match="n_samples must be an integer of at least 2, got"):
        CLASSIFIER.predict(X, n_samples=n_samples)
    with pytest.raises(DomainError, match="n_samples must be an integer of at least 1, got"):
        MCDropout(classifier(), n_samples=n_samples)


def test_one_sample_is_enough_to_sample_and_not_to_predict() -> None:
    assert CLASSIFIER.sample(X, n_samples=1).shape == (1, 21, 3)
    with pytest.raises(DomainError, match="n_samples must be an integer of at least 2, got 1"):
        CLASSIFIER.predict(X, n_samples=1)


def test_integers_of_numpy_are_integers() -> None:
    n_samples: Any = np.int64(4)
    seed: Any = np.int32(3)
    pred = CLASSIFIER.predict(X, n_samples=n_samples, seed=seed)
    assert (type(pred.n_samples), type(pred.seed)) == (int, int)


@pytest.mark.parametrize(
    ("options", "error", "match"),
    [
        ({"masks": "shared"}, OptionError, "masks must be 'consistent' or 'independent', got 'shared'"),
        ({"rng": "mt19937"}, OptionError, "rng must be one of philox-1, philox-1-plain, got 'mt19937'"),
        ({"task": "ranking"}, OptionError, "task must be one of"),
        ({"task": "raw", "tau": 1.0}, OptionError, "tau is the noise precision of a regression"),
        ({"task": "regression", "tau": -1.0}, DomainError, r"tau must be positive, got -1\.0"),
    ],
)
def test_options_that_do_not_exist_are_refused(
    options: dict[str, Any], error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        MCDropout(classifier(), **options)


def test_a_function_is_no_module() -> None:
    model: Any = torch.relu
    with pytest.raises(
        InputError, match=r"model must be a torch\.nn\.Module, got builtin_function_or_method"
    ):
        MCDropout(model)


def test_without_a_task_only_sample_works() -> None:
    mc = MCDropout(classifier())
    assert mc.sample(X, n_samples=2).shape == (2, 21, 3)
    with pytest.raises(
        OptionError, match=r"predict needs a task: MCDropout\(model, task=\.\.\.\) with one of"
    ):
        mc.predict(X)


def test_a_model_without_dropout_says_what_was_looked_for() -> None:
    with pytest.raises(NothingRandomError, match="every pass would be the same"):
        MCDropout(nn.Linear(6, 3)).sample(X)


def test_a_model_that_ends_in_a_softmax_is_refused_unless_it_is_said() -> None:
    model = classifier(last=nn.Softmax(1))
    with pytest.raises(DomainError, match="say output='probabilities'"):
        MCDropout(model, task="classification").predict(X)
    pred = MCDropout(model, task="classification", output="probabilities", n_samples=32).predict(X)
    torch.testing.assert_close(pred.mean, CLASSIFIER.predict(X).mean, **FLOAT32)


def test_sites_are_known_after_a_call(mc: MCDropout) -> None:
    with pytest.raises(OptionError, match=r"nothing was traced yet; call mc\.trace"):
        _ = mc.sites
    assert mc.trace(X) == mc.sites
    assert [(site.name, site.p) for site in mc.sites] == [("2#0", 0.3), ("5#0", 0.5)]
