"""`MCDropout` from the outside: what a call takes, what comes out, and what it must not depend on."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import mcdrop
from mcdrop import MCDropout, zoo
from mcdrop.errors import (
    CheckpointError,
    DomainError,
    InputError,
    NothingRandomError,
    OptionError,
    SamplesNotKeptError,
    ShapeError,
    UnsupportedModelError,
)
from mcdrop.generators import moved_generators
from mcdrop.philox import MAX_SEED
from mcdrop.predictive import ClassificationPredictive, RegressionPredictive
from tests.mcdrop.predictive.test_predictive import assert_same_rows
from tests.support.architectures import Tied
from tests.support.networks import Pair, classifier, features, fixed, regressor, segmenter
from tests.support.tolerances import EXACT, FLOAT32, monte_carlo

X = features(21)
CLASSIFIER = MCDropout(classifier(), task="classification", n_samples=32)
INDEPENDENT = MCDropout(classifier(), task="classification", n_samples=32, masks="independent")


@pytest.fixture
def mc() -> MCDropout:
    return MCDropout(classifier(), task="classification", n_samples=32)


# --- what a call says ---------------------------------------------------------------------------------------


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


# --- inputs -------------------------------------------------------------------------------------------------


def test_an_array_is_a_tensor() -> None:
    assert_same_rows(CLASSIFIER.predict(X.double().numpy()), CLASSIFIER.predict(X))


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


# --- loaders ------------------------------------------------------------------------------------------------


def loader(*tensors: Tensor, batch_size: int = 8) -> DataLoader[tuple[Tensor, ...]]:
    return DataLoader(TensorDataset(*tensors), batch_size=batch_size)


@pytest.mark.parametrize("mc", [CLASSIFIER, INDEPENDENT], ids=["consistent", "independent"])
def test_a_loader_gives_the_predictive_of_all_its_rows(mc: MCDropout) -> None:
    pred = mc.predict(loader(X, torch.zeros(21)), take=0, exact=True)
    assert_same_rows(pred, mc.predict(X, exact=True))


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


# --- what a sample depends on -------------------------------------------------------------------------------


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


@given(rows=st.permutations(range(3)))
@settings(max_examples=6)
def test_exact_answers_for_pixels_do_not_depend_on_order(rows: list[int]) -> None:
    mc = MCDropout(segmenter(), task="classification", n_samples=20)
    x = features(3, 2, 3, 5)
    expected = mc.predict(x, exact=True)
    assert expected.mean.shape == (3, 3, 3, 5)
    assert_same_rows(mc.predict(x[rows], exact=True), expected[rows])
    assert_same_rows(mc.predict(x[:1], exact=True), expected[:1])


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


# --- what is kept, and what is left alone -------------------------------------------------------------------


@pytest.mark.parametrize("exact", [False, True])
def test_streaming_gives_the_numbers_of_kept_samples(mc: MCDropout, exact: bool) -> None:
    kept = mc.predict(X, n_samples=150, exact=exact, keep_samples=True, quantiles=[0.05, 0.95])
    streamed = mc.predict(X, n_samples=150, exact=exact, keep_samples=False, quantiles=[0.05, 0.95])
    for name in (*kept.available_outputs(), "level_values"):
        torch.testing.assert_close(getattr(streamed, name), getattr(kept, name), **EXACT)
    with pytest.raises(SamplesNotKeptError, match="pass keep_samples=True to predict"):
        _ = streamed.samples


def test_a_predictive_is_that_of_the_samples(mc: MCDropout) -> None:
    pred = mc.predict(X)
    assert isinstance(pred, ClassificationPredictive)
    torch.testing.assert_close(pred.samples, mc.sample(X).softmax(2), **FLOAT32)
    torch.testing.assert_close(pred.std, pred.samples.std(0), **FLOAT32)


@pytest.mark.parametrize("exact", [False, True])
def test_rows_that_do_not_move_are_noted(exact: bool) -> None:
    shift = nn.Linear(6, 6)  # after it, the padding of exact mode moves
    nn.init.eye_(shift.weight)
    nn.init.ones_(shift.bias)
    model = nn.Sequential(shift, nn.ReLU(), nn.Dropout(0.5), fixed(nn.Linear(6, 1)))
    mc = MCDropout(model, task="regression", n_samples=16)
    assert mc.predict(X, exact=exact).notes == ()
    still = mc.predict(-X.abs() - 2, exact=exact)
    assert still.notes == ("zero_variance",)
    assert still.std.flatten().tolist() == [0] * 21


def test_no_global_generator_moves() -> None:
    model = classifier()
    with moved_generators() as moved:
        mc = MCDropout(model, task="classification", n_samples=16)
        mc.predict(X)
        mc.predict(X, exact=True)
        mc.sample(X, seed=3)
    assert moved == []


def test_the_model_is_as_it_was() -> None:
    model = classifier()
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    modules = {name: (type(m), m.training, list(m._forward_hooks)) for name, m in model.named_modules()}
    MCDropout(model, task="classification", n_samples=16).predict(X, exact=True)
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    after = {name: (type(m), m.training, list(m._forward_hooks)) for name, m in model.named_modules()}
    assert after == modules


@pytest.mark.parametrize("model", [nn.Dropout(0.5), nn.Sequential(nn.Dropout(0.5), nn.Linear(6, 3))])
def test_dropout_may_be_the_first_thing_that_a_model_does(model: nn.Module) -> None:
    samples = MCDropout(model, n_samples=16).sample(torch.ones(5, 6))
    assert samples.std(0).min() > 0


class Wrapping(nn.Module):
    """Drops twice: in a child whose name is that of a wrapper, and by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(6, 64)
        self.module = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        hidden = 0 * self.linear(x) + 1
        dropped: Tensor = self.module(hidden) - nn.functional.dropout(hidden, 0.5, self.training)
        return dropped


def test_two_sites_that_would_share_their_masks_are_refused() -> None:
    with pytest.raises(UnsupportedModelError, match=r"module#0 and \(model\)#0"):
        MCDropout(Wrapping()).sample(X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("exact", [False, True])
def test_results_are_normal_tensors(dtype: torch.dtype, exact: bool) -> None:
    mc, x = MCDropout(regressor().to(dtype), task="regression", n_samples=16), X.to(dtype)
    pred = mc.predict(x, exact=exact, quantiles=[0.5])
    results = [tensor for _, tensor, _ in pred.row_tensors()] + [mc.sample(x, exact=exact)]
    for tensor in results:
        assert tensor is not None
        assert (tensor.dtype, tensor.is_inference(), tensor.requires_grad) == (dtype, False, False)


def test_a_rate_that_was_changed_is_seen(mc: MCDropout) -> None:
    before = mc.predict(X).std.mean()
    for module in mc.model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.05
    assert mc.predict(X).std.mean() < before / 2
    assert [site.p for site in mc.sites] == [0.05, 0.05]


# --- checkpoints --------------------------------------------------------------------------------------------


def diabetes(**options: Any) -> MCDropout:
    model = fixed(zoo.create("diabetes_mlp", hidden=8, p=0.3))
    return MCDropout(model, task="regression", tau=0.5, n_samples=24, seed=9, **options)


TABLE = features(9, 10)


def test_a_loaded_model_gives_the_same_bits(tmp_path: Path) -> None:
    mc = diabetes()
    expected = mc.predict(TABLE, exact=True, quantiles=[0.1, 0.9])
    mc.save(tmp_path / "saved")
    loaded = mcdrop.load(tmp_path / "saved")
    found = loaded.predict(TABLE, exact=True, quantiles=[0.1, 0.9])
    assert isinstance(found, RegressionPredictive)
    assert_same_rows(found, expected)
    assert loaded.fingerprint() == mc.fingerprint()
    assert loaded.fingerprint_id() == mc.fingerprint_id()
    assert (loaded.task, loaded.n_samples, loaded.seed, loaded.tau) == ("regression", 24, 9, 0.5)


def test_a_loaded_model_of_a_factory_gives_the_same_bits(tmp_path: Path) -> None:
    model = fixed(Tied(3))
    mc = MCDropout(model, task="classification", masks="independent", rng="philox-1-plain", n_samples=24)
    x = features(9, 3)
    expected = mc.predict(x, exact=True)
    mc.save(tmp_path / "saved", architecture="tests.support.architectures:tied", name="tied")
    loaded = mcdrop.load(tmp_path / "saved", allow=["tests"])
    assert_same_rows(loaded.predict(x, exact=True), expected)
    assert loaded.manifest is not None
    assert loaded.manifest.name == "tied"
    assert loaded.digest is not None
    assert loaded.digest.startswith("sha256:")


def test_a_loaded_model_knows_its_fingerprint_before_the_first_call(tmp_path: Path) -> None:
    mc = diabetes()
    mc.trace(TABLE)
    mc.save(tmp_path / "saved")
    loaded = mcdrop.load(tmp_path / "saved")
    facts = loaded.fingerprint()
    loaded.predict(TABLE, exact=True)
    assert facts == loaded.fingerprint()
    assert len(loaded.fingerprint_id()) == 16


def test_a_path_that_exists_is_left_alone_unless_told(tmp_path: Path) -> None:
    mc = diabetes()
    mc.trace(TABLE)
    mc.save(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="exists"):
        mc.save(tmp_path / "saved")
    mc.save(tmp_path / "saved", overwrite=True)


def test_what_cannot_be_saved_says_why(tmp_path: Path) -> None:
    with pytest.raises(
        OptionError, match=r"a checkpoint needs a task; make the object with MCDropout\(model, t"
    ):
        MCDropout(classifier()).save(tmp_path / "saved")
    with pytest.raises(
        CheckpointError, match="a Sequential does not say how to build it again; pass architect"
    ):
        CLASSIFIER.save(tmp_path / "saved")
    with pytest.raises(OptionError, match="nothing was traced yet"):
        diabetes().save(tmp_path / "saved")
    assert list(tmp_path.iterdir()) == []


def test_a_field_that_the_manifest_does_not_have_is_refused(tmp_path: Path) -> None:
    mc = diabetes()
    mc.trace(TABLE)
    with pytest.raises(CheckpointError, match="colour"):
        mc.save(tmp_path / "saved", colour="blue")
