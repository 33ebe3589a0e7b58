"""A path means the highest version, unless it pins one."""

from pathlib import Path

import pytest

from mcdrop.checkpoint import read_checkpoint, resolve_version, versions
from mcdrop.errors import CheckpointError
from tests.support.checkpoints import small_checkpoint


@pytest.fixture
def three_versions(tmp_path: Path) -> Path:
    """Version 1 flat, 2 and 10 beside it."""
    path = small_checkpoint(tmp_path / "small")
    for number in ("2", "10"):
        small_checkpoint(path / number, version=number)
    return path


def test_the_highest_version_is_meant_by_number_not_by_text(three_versions: Path) -> None:
    assert resolve_version(three_versions) == three_versions / "10"
    assert read_checkpoint(three_versions).manifest.version == "10"


def test_a_flat_checkpoint_is_version_1_and_stays_where_it_is(three_versions: Path) -> None:
    assert resolve_version(f"{three_versions}@1") == three_versions
    assert versions(three_versions) == {1: three_versions, 2: three_versions / "2", 10: three_versions / "10"}


def test_a_version_can_be_pinned(three_versions: Path) -> None:
    assert read_checkpoint(f"{three_versions}@2").manifest.version == "2"


def test_a_version_can_be_named_as_a_directory(three_versions: Path) -> None:
    assert read_checkpoint(three_versions / "2").manifest.version == "2"


def test_a_version_that_is_not_there_lists_those_that_are(three_versions: Path) -> None:
    with pytest.raises(CheckpointError, match="has no version 3; it has 1, 2, 10"):
        resolve_version(f"{three_versions}@3")


@pytest.mark.parametrize("pin", ["@", "@0", "@01", "@-1", "@two", "@1.0", "@v1"])
def test_a_pin_must_be_a_whole_number(three_versions: Path, pin: str) -> None:
    with pytest.raises(CheckpointError, match="pinned by a whole number"):
        resolve_version(f"{three_versions}{pin}")


def test_a_directory_whose_name_has_an_at_sign_is_found(tmp_path: Path) -> None:
    path = small_checkpoint(tmp_path / "small@home")
    assert resolve_version(path) == path


def test_version_1_cannot_be_there_twice(three_versions: Path) -> None:
    small_checkpoint(three_versions / "1")
    with pytest.raises(CheckpointError, match="version 1 twice"):
        resolve_version(three_versions)


def test_the_manifest_must_agree_with_the_directory(three_versions: Path) -> None:
    (three_versions / "10").rename(three_versions / "3")
    with pytest.raises(CheckpointError, match="must be 3, got 10"):
        read_checkpoint(three_versions)


@pytest.mark.parametrize("path", ["nowhere", "nul\0byte", ""])
def test_a_path_that_is_no_checkpoint_says_so(tmp_path: Path, path: str) -> None:
    with pytest.raises(CheckpointError, match="no checkpoint"):
        resolve_version(tmp_path / path)


def test_a_file_is_told_what_a_checkpoint_is(tmp_path: Path) -> None:
    (tmp_path / "net.pt").write_bytes(b"")
    with pytest.raises(
        CheckpointError, match=r"net\.pt is a file, and a checkpoint is a directory with mcdrop\.json"
    ):
        resolve_version(tmp_path / "net.pt")
