"""A checkpoint is written whole or not at all, and read only as what was written."""

import hashlib
import json
import stat
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mcdrop.checkpoint import Architecture, read_checkpoint, write_checkpoint
from mcdrop.checkpoint.manifest import MANIFEST_FILE, README_FILE, WEIGHTS_FILE, manifest_bytes
from mcdrop.errors import CheckpointError
from tests.support.architectures import ALLOWED, Tied
from tests.support.checkpoints import (
    edit_manifest,
    replace_weights,
    small_checkpoint,
    small_manifest,
    small_model,
)

FILES = {MANIFEST_FILE, README_FILE, WEIGHTS_FILE}


def names_in(directory: Path) -> set[str]:
    """What lies in a directory."""
    return {path.name for path in directory.iterdir()}


def assert_same_weights(one: torch.nn.Module, other: torch.nn.Module) -> None:
    """Both modules hold the same bits under the same names."""
    assert one.state_dict().keys() == other.state_dict().keys()
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])


def test_what_was_written_is_read_back(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small", tau=0.5)
    checkpoint = read_checkpoint(path)
    assert checkpoint.path == path
    assert checkpoint.manifest.tau == 0.5
    assert not checkpoint.model.training
    assert_same_weights(checkpoint.model, small_model())


def test_the_digest_is_the_hash_of_the_manifest(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    first = read_checkpoint(path).digest
    assert first.startswith("sha256:")
    assert len(first) == len("sha256:") + 64
    edit_manifest(path, lambda document: document["sampling"].update(seed=1))
    assert read_checkpoint(path).digest != first


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    one, two = small_checkpoint(tmp_path / "one"), small_checkpoint(tmp_path / "two")
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in FILES)


def test_a_factory_is_loaded_once_its_package_is_allowed(tmp_path: Path) -> None:
    name = "tests.support.architectures:tied"
    manifest = small_manifest(architecture=Architecture(source="factory", name=name))
    path = write_checkpoint(tmp_path / "tied", manifest, Tied(), readme="")
    assert isinstance(read_checkpoint(path, allow=[ALLOWED]).model, Tied)
    with pytest.raises(CheckpointError, match="if you trust it, say --allow-package tests"):
        read_checkpoint(path)


def test_there_are_three_files_that_others_may_read(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "deep" / "small")
    assert names_in(path) == FILES
    assert names_in(path.parent) == {"small"}
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE((path / WEIGHTS_FILE).stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


def test_an_existing_path_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    before = (path / MANIFEST_FILE).read_bytes()
    with pytest.raises(CheckpointError, match="exists; choose another path"):
        small_checkpoint(path, tau=2.0)
    assert (path / MANIFEST_FILE).read_bytes() == before


def test_overwriting_replaces_the_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    small_checkpoint(path / "2", version="2")
    (path / "train.py").write_text("recipe")
    write_checkpoint(path, small_manifest(tau=2.0), small_model(), readme="new", overwrite=True)
    assert read_checkpoint(f"{path}@1").manifest.tau == 2.0
    assert (path / README_FILE).read_text() == "new"
    assert names_in(path) == FILES | {"2", "train.py"}
    assert names_in(tmp_path) == {"small"}


def test_a_model_that_cannot_be_saved_leaves_nothing_behind(tmp_path: Path) -> None:
    model = small_model()
    model.register_buffer("odd", torch.eye(2).to_sparse())
    with pytest.raises(CheckpointError, match="'odd' must be a dense tensor"):
        write_checkpoint(tmp_path / "small", small_manifest(), model, readme="")
    assert names_in(tmp_path) == set()


def test_a_model_is_not_saved_under_an_architecture_that_does_not_fit(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="do not fit the architecture"):
        write_checkpoint(tmp_path / "small", small_manifest(), Tied(), readme="")
    assert names_in(tmp_path) == set()


def test_a_path_that_cannot_be_written_says_so_and_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(CheckpointError, match="cannot be written"):
        small_checkpoint(tmp_path / "file" / "small")
    with pytest.raises(CheckpointError, match="cannot be written"):
        write_checkpoint(tmp_path / "file", small_manifest(), small_model(), readme="", overwrite=True)
    assert names_in(tmp_path) == {"file"}


def test_a_version_must_be_written_where_it_will_be_looked_for(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="must be 3, got 2"):
        small_checkpoint(tmp_path / "3", version="2")


@pytest.mark.parametrize("name", sorted(FILES - {README_FILE}))
def test_a_missing_file_is_named(tmp_path: Path, name: str) -> None:
    path = small_checkpoint(tmp_path / "small")
    (path / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name} is missing"):
        read_checkpoint(path)


def test_the_model_card_may_be_edited_or_removed(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    (path / README_FILE).unlink()
    assert read_checkpoint(path).manifest.name == "small"


@given(data=st.data())
@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_changed_byte_of_the_weights_is_noticed(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    path = small_checkpoint(tmp_path_factory.mktemp("changed") / "small")
    contents = bytearray((path / WEIGHTS_FILE).read_bytes())
    position = data.draw(st.integers(0, len(contents) - 1))
    contents[position] ^= data.draw(st.integers(1, 255))
    (path / WEIGHTS_FILE).write_bytes(bytes(contents))
    with pytest.raises(
        CheckpointError, match=r"model.safetensors was changed: its sha256 must be \w{64}, got \w{64}"
    ):
        read_checkpoint(path)


def test_further_files_of_the_manifest_are_checked_too(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    (path / "config.json").write_text("{}")
    edit_manifest(path, lambda document: document["files"].update({"config.json": "0" * 64}))
    with pytest.raises(CheckpointError, match=r"config.json was changed"):
        read_checkpoint(path)


def test_weights_of_another_shape_are_refused_though_their_hash_is_right(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small")
    edit_manifest(path, lambda document: document["architecture"]["arguments"].update(hidden=5))
    with pytest.raises(CheckpointError, match=r"'layers.0.weight' must have shape \(5, 10\), got \(4, 10\)"):
        read_checkpoint(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def paths_in(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value in a JSON document."""
    keys = value.keys() if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    return [prefix, *(path for key in keys for path in paths_in(value[key], (*prefix, key)))]


@st.composite
def mutated_documents(draw: st.DrawFn, document: Any) -> Any:
    """The document with a value somewhere in it replaced, removed, or joined by another."""
    copy = json.loads(json.dumps(document))
    path = draw(st.sampled_from(paths_in(copy)[1:]))
    parent = copy
    for key in path[:-1]:
        parent = parent[key]
    action = draw(st.sampled_from(["replace", "remove", "add"]))
    if action == "remove":
        del parent[path[-1]]
    elif action == "add" and isinstance(parent, dict):
        parent[draw(st.text(max_size=4))] = draw(JSON)
    else:
        parent[path[-1]] = draw(JSON)
    return copy


def true_manifest(path: Path) -> bytes:
    """What `mcdrop.json` held before it was rewritten."""
    digest = hashlib.sha256((path / WEIGHTS_FILE).read_bytes()).hexdigest()
    return manifest_bytes(small_manifest(files={WEIGHTS_FILE: digest}))


def holds(loaded: Any, given: Any) -> bool:
    """Everything that was given is there; more may be, by default."""
    if isinstance(given, dict):
        return all(key in loaded and holds(loaded[key], value) for key, value in given.items())
    if isinstance(given, list):
        return len(loaded) == len(given) and all(map(holds, loaded, given))
    return bool(loaded == given)


@pytest.fixture(scope="module")
def shared_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One checkpoint, whose manifest the tests below rewrite each time."""
    return small_checkpoint(tmp_path_factory.mktemp("shared") / "small")


@given(data=st.data())
@settings(max_examples=300)
def test_a_mutated_manifest_loads_the_same_weights_or_is_a_checkpoint_error(
    shared_checkpoint: Path, data: st.DataObject
) -> None:
    mutated = data.draw(mutated_documents(json.loads(true_manifest(shared_checkpoint))))
    (shared_checkpoint / MANIFEST_FILE).write_text(json.dumps(mutated))
    try:
        loaded = read_checkpoint(shared_checkpoint)
    except CheckpointError:
        return
    assert_same_weights(loaded.model, small_model())
    assert holds(loaded.manifest.model_dump(mode="json"), mutated)


@given(cut=st.integers(0, 2000), junk=st.binary(max_size=8))
@settings(max_examples=100)
def test_a_manifest_of_torn_bytes_loads_the_same_or_is_a_checkpoint_error(
    shared_checkpoint: Path, cut: int, junk: bytes
) -> None:
    text = true_manifest(shared_checkpoint)
    (shared_checkpoint / MANIFEST_FILE).write_bytes(text[:cut] + junk + text[cut + len(junk) :])
    try:
        loaded = read_checkpoint(shared_checkpoint)
    except CheckpointError:
        return
    assert_same_weights(loaded.model, small_model())


def test_weights_with_a_true_hash_and_wrong_contents_are_refused(tmp_path: Path) -> None:
    path = replace_weights(small_checkpoint(tmp_path / "small"), b"\x80\x04N.")
    with pytest.raises(CheckpointError, match="must be a safetensors file, got a pickle or zip archive"):
        read_checkpoint(path)
