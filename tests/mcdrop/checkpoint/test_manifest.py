"""The manifest says each thing once and within its range, and survives the disk."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mcdrop.checkpoint import Architecture, InputSpec, Manifest, Sampling, manifest_schema
from mcdrop.checkpoint.manifest import manifest_bytes, parse_manifest
from mcdrop.errors import CheckpointError
from tests.support.checkpoints import small_manifest

NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
PLAIN = st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), NUMBERS, max_size=4)


def document(**changes: Any) -> bytes:
    """The JSON text of the small manifest, with some fields changed and nothing checked."""
    return json.dumps({**json.loads(manifest_bytes(small_manifest())), **changes}).encode()


@given(
    n_samples=st.integers(2, 10_000),
    seed=st.integers(0, 2**63 - 1),
    tau=st.none() | st.floats(1e-300, 1e300),
    training=PLAIN,
    scores=PLAIN,
)
def test_a_manifest_is_read_back_as_it_was_written(
    n_samples: int, seed: int, tau: float | None, training: dict[str, Any], scores: dict[str, Any]
) -> None:
    sampling = Sampling(n_samples=n_samples, seed=seed)
    manifest = small_manifest(sampling=sampling, tau=tau, training=training, scores=scores)
    assert parse_manifest(manifest_bytes(manifest)) == manifest


def test_equal_manifests_have_equal_bytes() -> None:
    assert manifest_bytes(small_manifest()) == manifest_bytes(small_manifest())


def test_only_name_task_architecture_and_inputs_are_required() -> None:
    assert manifest_schema()["required"] == ["name", "task", "architecture", "inputs"]


def test_the_schema_names_every_field_and_allows_no_other() -> None:
    schema = manifest_schema()
    assert set(schema["properties"]) == set(Manifest.model_fields)
    assert schema["additionalProperties"] is False


def test_a_manifest_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        small_manifest().name = "other"  # type: ignore[misc]


@pytest.mark.parametrize(
    ("field", "value", "problem"),
    [
        ("name", "../digits", "name: String should match"),
        ("name", "digits\n", "name: String should match"),
        ("name", "a" * 129, "name: String should match"),
        ("version", 1, "version: Input should be a valid string, got 1"),
        ("version", "01", "version: String should match"),
        ("schema_version", 2, "schema_version: Input should be 1, got 2"),
        ("task", "clustering", "task: Input should be"),
        ("tau", 0, "tau: Input should be greater than 0"),
        ("inputs", [], "inputs: List should have at least 1 item"),
        ("inputs", [{"name": "x"}], r"inputs\.0\.dtype: Field required; inputs\.0\.shape: Field required"),
        ("sampling", {"n_samples": 1}, r"sampling\.n_samples: Input should be greater than or equal to 2"),
        ("sampling", {"seed": 2**63}, r"sampling\.seed: Input should be less than"),
        ("sampling", {"seed": True}, r"sampling\.seed: Input should be a valid integer"),
        ("exact", {"rows": 3}, r"exact\.rows: Input should be 1, 2, 4, 8 or 16, got 3"),
        ("files", {"../x": "0" * 64}, "files"),
        ("files", {"mcdrop.json": "0" * 64}, "files cannot list"),
        ("files", {"model.safetensors": "A" * 64}, "files"),
        ("classes", ["a"], "classes belong to a classification"),
        ("comment", "hello", "comment: Extra inputs are not permitted"),
    ],
)
def test_a_field_out_of_its_range_is_refused_by_name(field: str, value: object, problem: str) -> None:
    with pytest.raises(CheckpointError, match=problem):
        parse_manifest(document(**{field: value}))


def test_tau_belongs_to_a_regression() -> None:
    with pytest.raises(CheckpointError, match="tau is the noise precision of a regression"):
        parse_manifest(document(task="raw", tau=1.0))


def test_classes_must_differ() -> None:
    with pytest.raises(CheckpointError, match="classes: must not name anything twice"):
        parse_manifest(document(task="classification", classes=["cat", "cat"]))


def test_two_inputs_cannot_have_one_name() -> None:
    twice = [{"name": "x", "dtype": "float32", "shape": [1]}] * 2
    with pytest.raises(CheckpointError, match="must not name anything twice"):
        parse_manifest(document(inputs=twice))


@pytest.mark.parametrize("arguments", [{"auto_map": {}}, {"config": [{"trust_remote_code": True}]}])
def test_code_that_comes_with_a_model_is_refused_at_any_depth(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="would run code that comes with the model"):
        Architecture(source="huggingface", name="AutoModel", arguments=arguments)


@pytest.mark.parametrize("value", [object(), float("nan"), {1, 2}])
def test_arguments_that_json_cannot_hold_are_refused_when_they_are_given(value: object) -> None:
    with pytest.raises(ValidationError, match="arguments"):
        Architecture(source="zoo", name="a", arguments={"width": value})


def test_text_that_cannot_be_written_is_a_checkpoint_error() -> None:
    manifest = small_manifest(training={"data": "\ud800"})
    with pytest.raises(CheckpointError, match="cannot be written"):
        manifest_bytes(manifest)


def test_a_shape_says_minus_one_for_a_length_that_varies() -> None:
    assert InputSpec(name="tokens", dtype="int64", shape=[-1]).shape == [-1]
    with pytest.raises(ValidationError, match="greater than or equal to -1"):
        InputSpec(name="tokens", dtype="int64", shape=[-2])
