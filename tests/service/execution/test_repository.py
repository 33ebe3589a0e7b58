"""Which versions of which checkpoints are meant."""

import io
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mcdrop_service.execution import Repository
from mcdrop_service.settings import Settings

import mcdrop
from mcdrop.engine.maskcache import MASK_BYTES
from mcdrop.errors import CheckpointError
from tests.support.hostile import Payload

MODELS = Path(__file__).parents[3] / "models"


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One model in two versions, and another one."""
    home = tmp_path_factory.mktemp("repository")
    for name in ("diabetes", "digits"):
        shutil.copytree(MODELS / name, home / name)
    mc = mcdrop.load(home / "diabetes")
    assert mc.manifest is not None
    mc.save(home / "diabetes" / "2", name="diabetes", version="2", inputs=mc.manifest.inputs)
    (home / "notes").mkdir()
    for name in (".digits", "two words"):  # as an editor or a copy under way leaves them
        shutil.copytree(MODELS / "digits", home / name)
    return home


@pytest.mark.parametrize(
    ("names", "wanted"),
    [
        ((), {"diabetes": 2, "digits": 1}),
        (("digits",), {"digits": 1}),
        (("digits", "diabetes"), {"digits": 1, "diabetes": 2}),
        (("diabetes@1",), {"diabetes": 1}),
        (("diabetes@1", "diabetes@2"), {"diabetes": 2}),
    ],
)
def test_all_versions_are_loaded_unless_one_is_pinned(
    directory: Path, names: tuple[str, ...], wanted: dict[str, int]
) -> None:
    repository = Repository(directory, names)
    assert {name: len(models) for name, models in repository.load_all().items()} == wanted
    assert set(repository.wanted()) == set(wanted)


@pytest.mark.parametrize(
    ("names", "came"),
    [(("letters",), "has no checkpoint 'letters'; it has diabetes, digits"), (("digits@7",), "no version 7")],
)
def test_what_is_not_there_is_refused(directory: Path, names: tuple[str, ...], came: str) -> None:
    with pytest.raises(CheckpointError, match=came):
        Repository(directory, names).load_all()


def test_a_checkpoint_that_no_model_can_be_named_after_is_told(
    directory: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    Repository(directory, ("diabetes@1",)).load_all()
    assert [record.getMessage().partition(" in ")[0] for record in caplog.records] == ["'two words'"]
    (tmp_path / "modèle").symlink_to(directory / "digits")
    for place in (tmp_path, tmp_path / "modèle"):
        with pytest.raises(CheckpointError, match=r"ASCII letters, .* got 'modèle'"):
            Repository(place).chosen()


def test_each_version_keeps_as_many_masks_as_it_may(directory: Path) -> None:
    for model in Repository(directory, ("diabetes",), mask_bytes=12_345).load_all()["diabetes"]:
        model.probe()
        assert model._mc.plan.network.cache.limit == 12_345
    assert Repository(directory).mask_bytes == Settings().max_mask_bytes == MASK_BYTES


def archive(**arrays: Any) -> bytes:
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def test_a_row_of_the_test_data_is_shown(directory: Path) -> None:
    (directory / "diabetes" / "test.npz").write_bytes(
        archive(x=np.array([[32.1], [2]], np.float32), y=np.array([3, 4]))
    )
    assert Repository(directory).example("diabetes") == {"x": [[32.1]], "y": [3]}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"version https://git-lfs.github.com/spec/v1\n",
        archive(x=np.zeros((2, 10)))[:-30],
        archive(x=np.zeros((2, 10)), seed=0),
        archive(x=np.zeros(2**23 + 1)),
        archive(x=np.array([Payload()], dtype=object)),
    ],
    ids=["nothing", "a pointer", "cut", "a number that has no rows", "a bomb", "a pickle"],
)
def test_test_data_that_cannot_be_shown_are_no_reason_not_to_serve(
    directory: Path, content: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    (directory / "diabetes" / "test.npz").write_bytes(content)
    assert Repository(directory).example("diabetes") is None
    assert capfd.readouterr().out == ""


def test_a_checkpoint_goes_by_the_name_under_which_it_is_served(
    directory: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "current").symlink_to(directory / "digits")
    assert Repository(tmp_path / "current").chosen() == ["current"]
    monkeypatch.chdir(directory / "digits")
    assert Repository(Path()).chosen() == ["digits"]
