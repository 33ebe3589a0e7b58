"""`MCDropout` saved and loaded again, to the last bit."""

from pathlib import Path
from typing import Any

import pytest

import mcdrop
from mcdrop import MCDropout, zoo
from mcdrop.errors import (
    CheckpointError,
    OptionError,
    ShapeError,
)
from mcdrop.predictive import RegressionPredictive
from tests.support.architectures import Tied, TwoInputs
from tests.support.networks import classifier, features, fixed
from tests.support.predictives import assert_same_rows

CLASSIFIER = MCDropout(classifier(), task="classification", n_samples=32)


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


def test_a_device_that_is_not_there_is_refused_before_anything_is_read() -> None:
    with pytest.raises(OptionError, match="the device 'abacus' cannot be used"):
        mcdrop.load("nowhere", device="abacus")


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


TWO = "tests.support.architectures:two_inputs"


def two_inputs(task: str = "classification", **options: Any) -> MCDropout:
    mc = MCDropout(fixed(TwoInputs()), task=task, n_samples=16, **options)
    mc.trace(features(4, 3), features(4, 2))
    return mc


def test_inputs_that_were_given_by_position_are_loaded_by_their_names(tmp_path: Path) -> None:
    mc, left, right = two_inputs(), features(4, 3), features(4, 2)
    mc.save(tmp_path / "saved", architecture=TWO)
    loaded = mcdrop.load(tmp_path / "saved", allow=["tests"])
    assert_same_rows(loaded.predict(left=left, right=right, exact=True), mc.predict(left, right, exact=True))


@pytest.mark.parametrize(
    ("task", "facts", "error", "text"),
    [
        ("binary", {}, ShapeError, "a model with one logit for each class wants task='classification'"),
        ("heteroscedastic", {}, ShapeError, "D means and then D log variances"),
        (
            "classification",
            {"classes": ["a", "b"]},
            CheckpointError,
            "classes must name 3 classes",
        ),
        ("multilabel", {"classes": ["a"]}, CheckpointError, "classes must name 3 classes"),
        (
            "classification",
            {"inputs": [{"name": name, "dtype": "float32", "shape": [4]} for name in ("left", "right")]},
            CheckpointError,
            "the model does not take inputs as they are described",
        ),
    ],
)
def test_what_does_not_fit_the_model_is_not_saved(
    tmp_path: Path, task: str, facts: dict[str, Any], error: type[Exception], text: str
) -> None:
    with pytest.raises(error, match=text):
        two_inputs(task).save(tmp_path / "saved", architecture=TWO, **facts)
    assert list(tmp_path.iterdir()) == []


def test_a_checkpoint_may_promise_what_only_real_rows_show(tmp_path: Path) -> None:
    two_inputs(output="probabilities").save(tmp_path / "saved", architecture=TWO)
